# SPDX-License-Identifier: Apache-2.0
"""The receiving half of an SCTP association: messages in order, and what to acknowledge. Layer: I/O ring, pure.

Reassembly is linear in time and bounded in memory, whatever a peer sends. Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from p2p_handoff.engines.sctp_packets import (
    AT_ONCE,
    FIRST,
    LAST,
    LAST_SERIAL,
    SERIALS,
    UNORDERED,
    Acknowledgement,
    Fragment,
    PeerMisbehavedError,
)
from p2p_handoff.limits import KIB, MIB
from p2p_handoff.protocol.channels import Channel

MAX_UNFINISHED: Final = 128 * KIB
"""Bytes of one message that has begun and not ended: twice what this side announces to accept."""
MAX_HELD: Final = 8 * MIB
"""Bytes of one stream held behind a lost packet: eight times the window that we announce, because aiortc as a
sender does not read it and is held back by its congestion window alone."""
IN_HAND: Final = 512 * KIB
"""Bytes of complete messages that are as good as handed on: only more of them narrow the window that we announce. A
peer that keeps to the window is never told that there is no room."""
MAX_AHEAD: Final = 65_535
"""Furthest that a packet may be ahead of the first that lacks: an acknowledgement cannot tell more."""
PACKETS_PER_SACK: Final = 2
"""Packets acknowledged together (RFC 9260 §6.2): an acknowledgement costs as much CPU as a packet of data. With four
a sender with Max.Burst 4 would get back only what was acknowledged, so its flight could not grow on a path with a long
round trip."""
PACKETS_PER_SACK_WAITING: Final = 4
"""The same while more packets wait in the socket already: this side is what is slow then, and more flight is no use."""

_STREAMS: Final = frozenset(channel.value for channel in Channel)
_HALF: Final = SERIALS // 2


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole message."""

    stream: int
    protocol: int
    message: bytes


class CompleteMessages:
    """Messages that are whole and wait to be handed on, in order."""

    def __init__(self) -> None:
        self._messages: deque[Arrived] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def excess(self) -> int:
        """Bytes by which the announced window shrinks."""
        return max(0, self._bytes - IN_HAND)

    def add(self, messages: Iterable[Arrived]) -> None:
        """Messages that were completed.

        Raises:
            PeerMisbehavedError: The peer does not keep to the window.
        """
        for arrived in messages:
            self._messages.append(arrived)
            self._bytes += len(arrived.message)
        if self._bytes > MAX_HELD:
            raise PeerMisbehavedError("more messages than can be handed on")

    def pop(self) -> Arrived:
        """The first of them."""
        arrived = self._messages.popleft()
        self._bytes -= len(arrived.message)
        return arrived

    def clear(self) -> None:
        """Nobody wants them any more."""
        self._messages.clear()
        self._bytes = 0


class OrderedStream:
    """Reassembly of one ordered, reliable stream."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._first: dict[int, Fragment] = {}
        self._rest: dict[int, Fragment] = {}
        self._parts: list[bytes] = []
        self._unfinished = 0
        self._next_tsn = 0
        self._sequence = 0
        self._held = 0

    @property
    def kept(self) -> int:
        """Bytes of messages that are not complete."""
        return self._held + self._unfinished

    def take(self, fragment: Fragment) -> list[Arrived]:
        """Take a fragment that did not come before; returns the messages that it completes, in order.

        Raises:
            PeerMisbehavedError: It is unordered, or there is too much of what cannot be delivered.
        """
        if not fragment.flags and fragment.tsn == self._next_tsn and self._parts and not self._rest:
            self._append(fragment)  # In the middle of a message: nothing can be complete.
            return []
        if fragment.flags & UNORDERED:
            raise PeerMisbehavedError("an unordered message on an ordered channel")
        if fragment.flags & FIRST:
            self._first[fragment.sequence] = fragment
        else:
            self._rest[fragment.tsn] = fragment
        self._held += len(fragment.payload)
        if self._held > MAX_HELD:
            raise PeerMisbehavedError("too much data behind a gap")
        return list(self._deliver())

    def _deliver(self) -> Iterator[Arrived]:
        while (fragment := self._following()) is not None:
            self._held -= len(fragment.payload)
            self._append(fragment)
            if fragment.flags & LAST:
                yield Arrived(self._stream, fragment.protocol, self._finish())

    def _append(self, fragment: Fragment) -> None:
        self._parts.append(fragment.payload)
        self._unfinished += len(fragment.payload)
        self._next_tsn = (fragment.tsn + 1) & LAST_SERIAL
        if self._unfinished > MAX_UNFINISHED:
            raise PeerMisbehavedError("a message that does not end")

    def _following(self) -> Fragment | None:
        if self._parts:
            return self._rest.pop(self._next_tsn, None)
        return self._first.pop(self._sequence, None)

    def _finish(self) -> bytes:
        message = b"".join(self._parts)
        self._parts.clear()
        self._unfinished = 0
        self._sequence = (self._sequence + 1) % 65536
        return message


class Inbound:
    """What one side receives, on our two channels and no other.

    Args:
        cumulative: The TSN before the peer's first.
        window: Bytes that this side announces to take.
    """

    def __init__(self, cumulative: int, window: int) -> None:
        self.cumulative = cumulative
        """Everything up to this TSN is here."""
        self._window = window
        self._ahead: set[int] = set()
        self._duplicates: list[int] = []
        self._streams = {stream: OrderedStream(stream) for stream in _STREAMS}
        self._unacknowledged = 0
        self._urgent = False

    def take(self, fragment: Fragment) -> list[Arrived]:
        """Take a data chunk; returns the messages that it completes, in order of their streams.

        Raises:
            PeerMisbehavedError: No honest peer sends this.
        """
        stream = self._streams.get(fragment.stream)
        if stream is None:
            raise PeerMisbehavedError(f"data on stream {fragment.stream}")
        self._unacknowledged += 1
        if fragment.flags & AT_ONCE:
            self._urgent = True
        if not self._is_new(fragment.tsn):
            return []
        return stream.take(fragment)

    def is_due(self, packets: int = PACKETS_PER_SACK) -> bool:
        """Whether an acknowledgement is due: after so many packets, or at once where one is missing or came twice."""
        if self._unacknowledged >= packets or self._urgent:
            return True
        return bool(self._unacknowledged and (self._ahead or self._duplicates))

    @property
    def is_owing(self) -> bool:
        """Whether something came since the last acknowledgement."""
        return self._unacknowledged > 0

    def acknowledgement(self, excess: int = 0) -> tuple[Acknowledgement, list[int]]:
        """What to tell now: what is here, and what came twice.

        Args:
            excess: Bytes of complete messages by which the window shrinks.
        """
        duplicates, self._duplicates = self._duplicates, []
        self._unacknowledged = 0
        self._urgent = False
        room = max(0, self._window - excess - sum(stream.kept for stream in self._streams.values()))
        return Acknowledgement(self.cumulative, room, self._gaps()), duplicates

    def _is_new(self, tsn: int) -> bool:
        ahead = (tsn - self.cumulative) % SERIALS
        if ahead == 1:
            self.cumulative = tsn
            self._close_gap()
            return True
        if ahead == 0 or ahead >= _HALF or tsn in self._ahead:
            self._duplicates.append(tsn)
            return False
        if ahead > MAX_AHEAD:
            raise PeerMisbehavedError("a packet far ahead of what was acknowledged")
        self._ahead.add(tsn)
        return True

    def _close_gap(self) -> None:
        while self._ahead and (following := (self.cumulative + 1) & LAST_SERIAL) in self._ahead:
            self._ahead.remove(following)
            self.cumulative = following

    def _gaps(self) -> tuple[tuple[int, int], ...]:
        if not self._ahead:
            return ()
        gaps: list[tuple[int, int]] = []
        for offset in sorted((tsn - self.cumulative) % SERIALS for tsn in self._ahead):
            if gaps and offset == gaps[-1][1] + 1:
                gaps[-1] = (gaps[-1][0], offset)
            else:
                gaps.append((offset, offset))
        return tuple(gaps)
