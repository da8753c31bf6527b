# SPDX-License-Identifier: Apache-2.0
"""The sending half of an SCTP association: what is under way, and what may follow. Layer: I/O ring, pure.

RFC 9260 §6 and §7: slow start, congestion avoidance, fast recovery, one retransmission timer. Where it leaves the
letter of the RFC the constants below say why. Time comes in as float seconds.
Specification: docs/specs/transport.md §6.

Call ``add`` while ``is_idle``; send what ``packets`` returns after each call; give every acknowledgement to
``acknowledge``; call ``expire`` when ``deadline`` has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from p2p_handoff.engines.sctp_packets import (
    AT_ONCE,
    FIRST,
    LAST,
    LAST_SERIAL,
    SERIALS,
    Acknowledgement,
    Fragment,
    Framing,
    PeerMisbehavedError,
    data_chunk,
)

PAYLOAD: Final = 1160
"""Bytes of content in one packet until more is known to pass: a datagram then fits the 1,280 bytes which every path of
IPv6 carries."""
INITIAL_WINDOW: Final = 4404
"""Bytes under way before the first acknowledgement (RFC 9260 §7.2.1)."""
GROWTH: Final = 2
"""Most packets that one acknowledgement adds to the window in slow start: it stands for two (RFC 3465 §2.2)."""
BURST: Final = 16
"""Packets sent at once on top of what is in flight (RFC 9260 §6.1 D leaves Max.Burst to us; it proposes 4)."""
RECOVERY_BURST: Final = 4
STRIKES: Final = 3
"""Acknowledgements that tell of later packets and not of this one until it counts as lost (RFC 9260 §7.2.4)."""
RTO_INITIAL: Final = 1.0
"""Seconds until an unanswered first packet is sent again (RFC 9260 §16)."""
RTO_MIN: Final = 0.4
"""Shortest wait for an acknowledgement, in seconds: twice what a receiver may delay it, and what libwebrtc waits. With
RFC 9260's second, a packet that is lost twice keeps an ordered channel silent until the peer would seem dead."""
RTO_MAX: Final = 60.0
BACKOFF_MAX: Final = 1.0
"""Longest wait after timeouts in a row, in seconds, unless the path itself is slower."""
SUSPECT_AFTER: Final = 2
"""Timeouts in a row until new packets have PAYLOAD again: the path may not carry as much as before."""
BLOCKED_AFTER: Final = 6
"""Timeouts in a row until a larger packet counts as one that cannot pass, some five seconds: by chance it happens once
in sixteen thousand losses on a path that loses a fifth."""

_HALF: Final = SERIALS // 2
_ALPHA: Final = 1 / 8
_BETA: Final = 1 / 4


class _Sent:
    """One packet that was sent at least once and is not acknowledged up to it."""

    __slots__ = ("acked", "in_flight", "lost", "order", "packet", "sent_at", "size", "strikes", "times", "tsn")

    def __init__(self, tsn: int, size: int, packet: bytes) -> None:
        self.tsn = tsn
        self.size = size
        self.packet = packet
        self.order = 0
        self.sent_at = 0.0
        self.times = 0
        self.strikes = 0
        self.acked = False
        self.in_flight = False
        self.lost = False


class RoundTrip:
    """The round trip time, and the patience that follows from it (RFC 9260 §6.3.1)."""

    __slots__ = ("_mean", "_variation", "patience")

    def __init__(self) -> None:
        self._mean: float | None = None
        self._variation = 0.0
        self.patience = RTO_INITIAL
        """Seconds to wait for an acknowledgement."""

    def measured(self, seconds: float) -> None:
        """A packet that was sent once was acknowledged after that time."""
        if self._mean is None:
            self._mean, self._variation = seconds, seconds / 2
        else:
            self._variation += _BETA * (abs(self._mean - seconds) - self._variation)
            self._mean += _ALPHA * (seconds - self._mean)
        self.patience = max(RTO_MIN, min(self._mean + 4 * self._variation, RTO_MAX))


class Window:
    """The congestion window, in bytes (RFC 9260 §7.2).

    Args:
        threshold: Where slow start ends: the window that the peer announced.
    """

    __slots__ = ("_partial", "recovery_exit", "size", "threshold", "unit")

    def __init__(self, threshold: int) -> None:
        self.unit = PAYLOAD
        """Bytes of content in a packet."""
        self.size = INITIAL_WINDOW
        self.threshold = threshold
        self.recovery_exit: int | None = None
        """TSN with which a fast recovery ends; None outside of one."""
        self._partial = 0

    def grow(self, acknowledged: int) -> None:
        """So many bytes arrived while the window was full."""
        if self.size <= self.threshold:
            self.size += min(acknowledged, GROWTH * self.unit)
            return
        self._partial += acknowledged
        if self._partial >= self.size:
            self._partial -= self.size
            self.size += self.unit

    def recover(self, last: int) -> None:
        """Packets were lost, and later ones arrive: half as much until all sent so far has arrived."""
        self._halve()
        self.size = self.threshold
        self.recovery_exit = last

    def collapse(self) -> None:
        """Nothing arrives: begin anew."""
        self._halve()
        self.size = self.unit
        self.recovery_exit = None

    def _halve(self) -> None:
        self.threshold = max(self.size // 2, 4 * self.unit)
        self._partial = 0


class Sender:
    """What one side sends.

    Args:
        framing: Makes packets of chunks.
        tsn: Number of the first packet of data.
        window: Bytes that the peer takes.
    """

    def __init__(self, framing: Framing, tsn: int, window: int) -> None:
        self._framing = framing
        self.next_tsn = tsn
        """Number of the next new packet."""
        self._acknowledged = (tsn - 1) % SERIALS
        self._messages: Iterator[Fragment] = iter(())
        self._next: Fragment | None = None
        self._sequences: dict[int, int] = {}
        self._sent: deque[_Sent] = deque()
        self._in_flight = 0
        self._lost = 0
        self._first_loss = False
        self._order = 0
        self._peer_window = window
        self.window = Window(window)
        self.round_trip = RoundTrip()
        self._stuck_at: int | None = None
        self._backoff = 1.0
        self._timeouts = 0
        self.deadline: float | None = None
        """When ``expire`` wants to be called; None while nothing is under way."""

    @property
    def is_idle(self) -> bool:
        """Whether everything that was added has been sent once, so that another message may be added."""
        return self._next is None

    @property
    def is_blocked(self) -> bool:
        """Whether the first packet is larger than every path carries, and does not get through."""
        return self._timeouts >= BLOCKED_AFTER and bool(self._sent) and self._sent[0].size > PAYLOAD

    def enlarge(self, payload: int) -> None:
        """The path carries packets with so many bytes of content."""
        if self._timeouts < SUSPECT_AFTER:
            self.window.unit = max(self.window.unit, payload)

    @property
    def sent(self) -> int:
        """Packets sent so far, counting each time."""
        return self._order

    def add(self, stream: int, protocol: int, message: bytes) -> None:
        """Take a message, which must not be empty. Next: send ``packets``."""
        assert self._next is None, "one message at a time"
        assert message, "SCTP carries no empty message"
        self._messages = self._fragments(stream, protocol, message)
        self._next = next(self._messages)

    def packets(self, now: float) -> list[bytes]:
        """What may be sent now."""
        packets: list[bytes] = []
        burst = BURST if self.window.recovery_exit is None else RECOVERY_BURST
        limit = min(self._in_flight + burst * self.window.unit, self.window.size, max(self._peer_window, 1))
        if self._lost:
            self._repeat(packets, limit, now)
        if not self._lost:
            self._continue(packets, limit, now)
        return packets

    def acknowledge(self, told: Acknowledgement, now: float) -> None:
        """The peer told what it has. Next: send ``packets``, and add messages.

        Raises:
            PeerMisbehavedError: It has what was never sent.
        """
        advanced = (told.cumulative - self._acknowledged) % SERIALS
        if advanced >= _HALF:
            return  # Overtaken by a later one.
        if advanced > len(self._sent):
            raise PeerMisbehavedError("an acknowledgement of what was never sent")
        was_full = self._in_flight >= self.window.size
        self._peer_window = told.window
        done, newest = self._take_off(advanced, now)
        lost = False
        if told.gaps:
            more, newest = self._note_gaps(told.gaps, newest)
            done += more
            lost = self._strike(told.gaps[-1][1], newest)
        self._acknowledged = told.cumulative
        self._adjust(told.cumulative, done if advanced and was_full else 0, lost=lost)
        if not self._sent:
            self.deadline = None
        elif advanced:
            self.deadline = now + self._patience()

    def expire(self, now: float) -> None:
        """The deadline has come: what the peer is not known to have counts as lost. Next: send ``packets``.

        What it said that it has is not sent again (RFC 9260 §6.3.3).
        """
        is_stuck = self._stuck_at == self._acknowledged
        self._backoff = self._backoff * 2 if is_stuck else 1.0
        self._timeouts = self._timeouts + 1 if is_stuck else 1
        self._stuck_at = self._acknowledged
        if self._timeouts == SUSPECT_AFTER:
            self.window.unit = PAYLOAD
        for sent in self._sent:
            if not sent.acked:
                self._lose(sent)
        self.window.collapse()
        self.deadline = now + self._patience()

    def _patience(self) -> float:
        patience = self.round_trip.patience
        if self._stuck_at == self._acknowledged:
            patience = max(patience, min(patience * self._backoff, BACKOFF_MAX))
        return patience

    # --- new packets --------------------------------------------------------------------------------

    def _fragments(self, stream: int, protocol: int, message: bytes) -> Iterator[Fragment]:
        sequence = self._sequences.get(stream, 0)
        self._sequences[stream] = (sequence + 1) % 65536
        flags, start, size = FIRST, 0, len(message)
        while start < size:
            end = start + self.window.unit
            if end >= size:
                flags |= LAST | AT_ONCE
            tsn, self.next_tsn = self.next_tsn, (self.next_tsn + 1) & LAST_SERIAL
            yield Fragment(tsn, flags, stream, sequence, protocol, message[start:end])
            flags, start = 0, end

    def _continue(self, packets: list[bytes], limit: int, now: float) -> None:
        while self._next is not None and self._in_flight < limit:
            fragment, self._next = self._next, next(self._messages, None)
            sent = _Sent(fragment.tsn, len(fragment.payload), self._framing.packet(data_chunk(fragment)))
            self._sent.append(sent)
            packets.append(self._send(sent, now))
            if self.deadline is None:
                self.deadline = now + self._patience()

    def _send(self, sent: _Sent, now: float) -> bytes:
        if not sent.in_flight:
            sent.in_flight = True
            self._in_flight += sent.size
        self._order += 1
        sent.order = self._order
        sent.sent_at = now
        sent.times += 1
        return sent.packet

    # --- what is lost -------------------------------------------------------------------------------

    def _repeat(self, packets: list[bytes], limit: int, now: float) -> None:
        """Send lost packets again, the first of a loss whatever the window says (RFC 9260 §7.2.4)."""
        for position, sent in enumerate(self._sent):
            if not self._lost:
                return
            if not sent.lost:
                continue
            if self._in_flight >= limit and not self._first_loss:
                return
            self._first_loss = False
            self._lost -= 1
            sent.lost = False
            sent.strikes = 0
            packets.append(self._send(sent, now))
            if position == 0:
                self.deadline = now + self._patience()

    def _lose(self, sent: _Sent) -> None:
        if not sent.lost:
            sent.lost = True
            self._lost += 1
        if sent.in_flight:
            sent.in_flight = False
            self._in_flight -= sent.size

    # --- what has arrived ---------------------------------------------------------------------------

    def _take_off(self, count: int, now: float) -> tuple[int, int]:
        """Forget the first packets. Returns bytes that were not known to have arrived, and their newest order."""
        done, newest, last = 0, 0, None
        for _ in range(count):
            last = self._sent.popleft()
            if not last.acked:
                done += last.size
                newest = max(newest, last.order)
                self._settle(last)
        if last is not None and last.times == 1 and not last.acked:
            self.round_trip.measured(now - last.sent_at)
        return done, newest

    def _settle(self, sent: _Sent) -> None:
        if sent.in_flight:
            sent.in_flight = False
            self._in_flight -= sent.size
        if sent.lost:
            sent.lost = False
            self._lost -= 1

    def _note_gaps(self, gaps: tuple[tuple[int, int], ...], newest: int) -> tuple[int, int]:
        """Mark what arrived behind a gap. Returns bytes that were not known to have arrived, and the newest order."""
        done, position = 0, 0
        told = iter(self._sent)
        for first, last in gaps:
            if first <= position or last < first or last > len(self._sent):
                raise PeerMisbehavedError("an acknowledgement of gaps that cannot be")
            for sent in islice(told, first - 1 - position, last - position):
                if not sent.acked:
                    sent.acked = True
                    done += sent.size
                    newest = max(newest, sent.order)
                    self._settle(sent)
            position = last
        return done, newest

    def _strike(self, last: int, newest: int) -> bool:
        """Count an acknowledgement against what should have arrived before the newest that did.

        By the order of sending instead of by TSN, so that a packet sent again is not struck by what was under way
        before it, and is found when it is lost again. Returns whether something is lost.
        """
        lost = False
        for sent in islice(self._sent, last):
            if not sent.acked and not sent.lost and sent.order < newest:
                sent.strikes += 1
                if sent.strikes == STRIKES:
                    self._lose(sent)
                    lost = True
        return lost

    def _adjust(self, cumulative: int, done: int, *, lost: bool) -> None:
        """The window after an acknowledgement."""
        window = self.window
        if window.recovery_exit is None:
            if done:
                window.grow(done)
            if lost:
                window.recover(self._sent[-1].tsn)
                self._first_loss = True
        elif (cumulative - window.recovery_exit) % SERIALS < _HALF:
            window.recovery_exit = None
