# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001 - hardening a library from outside reaches into it: the versions are pinned and checked by tests
"""What aiortc 1.16.0 and aioice 0.13.0 need before they meet a hostile network. Layer: I/O ring.

Each hardening is a subclass that takes the place of one library object of one connection (its ``__class__`` is
exchanged right after construction), so nothing is patched globally. tests/engines/test_aiortc_hardening.py
pins the versions and holds an attack for each. Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from typing import Any, Final

from aioice import Candidate, Connection
from aioice.ice import CandidatePair, StunProtocol
from aioice.stun import Class, Message
from aiortc import RTCSctpTransport
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_DATA_UNORDERED,
    SCTP_RTO_MAX,
    USERDATA_MAX_LENGTH,
    WEBRTC_BINARY,
    DataChunk,
    ForwardTsnChunk,
    InboundStream,
)
from OpenSSL import SSL
from typing_extensions import override

from p2p_handoff.limits import GATHER_DEADLINE, KIB, MIB
from p2p_handoff.protocol.channels import Channel

AIORTC_VERSION: Final = "1.16.0"
AIOICE_VERSION: Final = "0.13.0"

MAX_QUEUED_DATAGRAMS: Final = 4096
"""Datagrams that wait for the DTLS layer, about 5 MB: more are dropped, as a network may."""
MAX_UNFINISHED: Final = 128 * KIB
"""Bytes of one message that has begun and not ended: twice what this side announces to accept."""
MAX_HELD: Final = 8 * MIB
"""Bytes of one stream held behind a lost packet: eight times the window that we announce, because aiortc as a
sender does not read it and is held back by its congestion window alone."""
PACKETS_PER_SACK: Final = 2
"""Packets acknowledged together (RFC 9260 §6.2): an acknowledgement costs as much CPU as a packet of data.
Four were faster on one machine, but a sender with Max.Burst 4 then gets back only what was acknowledged, so its
flight could not grow on a path with a long round trip: derived from the rules, not measured."""
SACK_DELAY: Final = 0.01
"""Longest that an acknowledgement waits, in seconds (RFC 9260 §6.2 allows 0.2)."""
BURST: Final = 16
"""Packets sent at once on top of what is in flight (RFC 9260 §6.1 D leaves Max.Burst to us; the library has 4)."""
RECOVERY_BURST: Final = 4
RTO_INITIAL: Final = 1.0
"""Seconds until an unanswered first packet is sent again (RFC 9260 §16; the library waits 3, as RFC 4960 did)."""
RTO_MIN: Final = 0.4
"""Shortest wait for an acknowledgement, in seconds: twice what a receiver may delay it, and what libwebrtc waits. With
RFC 9260's second, a packet that is lost twice keeps an ordered channel silent until the peer would seem dead."""
BACKOFF_MAX: Final = 1.0
"""Longest wait after timeouts in a row, in seconds, unless the path itself is slower."""

_STUN_LAST: Final = 3
_DTLS_FIRST: Final = 20
_DTLS_LAST: Final = 63
"""First bytes of a datagram by protocol (RFC 7983 §7)."""
_LOOPBACK: Final = ["127.0.0.1", "::1"]
_STREAMS: Final = frozenset(channel.value for channel in Channel)


class PeerMisbehavedError(Exception):
    """The peer sent what no honest peer sends; the association is aborted."""


class HardenedProtocol(StunProtocol):
    """One UDP socket of ICE: other datagrams than STUN pass only from addresses that ICE has validated.

    An address is validated once a check from it was authenticated (the agent then answers it with success) or
    a check to it succeeded. Without this, one forged DTLS ClientHello from anywhere ends the handshake.
    """

    _validated: set[tuple[str, int]]

    @override
    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        assert isinstance(data, bytes)
        if not data:
            return
        kind = data[0]
        if kind <= _STUN_LAST:
            super().datagram_received(data, addr)
        elif _DTLS_FIRST <= kind <= _DTLS_LAST and self._is_validated((addr[0], addr[1])):
            queue = self.receiver._queue
            if queue.qsize() < MAX_QUEUED_DATAGRAMS:
                self.receiver.data_received(data, self.local_candidate.component)

    @override
    def send_stun(self, message: Message, addr: tuple[str, int]) -> None:
        if message.message_class is Class.RESPONSE:
            self._validated.add((addr[0], addr[1]))
        super().send_stun(message, addr)

    def _is_validated(self, address: tuple[str, int]) -> bool:
        if address in self._validated:
            return True
        succeeded = any(
            pair.protocol is self and pair.remote_addr == address and pair.state is CandidatePair.State.SUCCEEDED
            for pair in self.receiver._check_list
        )
        if succeeded:
            self._validated.add(address)
        return succeeded


class HardenedIce(Connection):
    """An ICE agent that gathers within a deadline, works on a machine with only loopback, and filters sources."""

    gather_deadline: float = GATHER_DEADLINE

    @override
    async def get_component_candidates(self, component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        candidates = await super().get_component_candidates(
            component,
            addresses or _LOOPBACK,
            timeout=self.gather_deadline,  # type: ignore[arg-type]  # asyncio.wait takes a float; the annotation is narrower
        )
        for protocol in self._protocols:
            protocol.__class__ = HardenedProtocol
            assert isinstance(protocol, HardenedProtocol)
            protocol._validated = set()
        self._discard_unfiltered()
        return candidates

    def _discard_unfiltered(self) -> None:
        """Nobody knows our candidates yet, so whatever came in while gathering is forged."""
        while not self._queue.empty():
            self._queue.get_nowait()


class BoundedStream(InboundStream):
    """Reassembly of one ordered, reliable stream in linear time and bounded memory.

    The library keeps a sorted list, scans a message from its start for every fragment, and has no bound:
    an unfinished message of 22 MiB costs more than a minute of CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[int, DataChunk] = {}
        self._rest: dict[int, DataChunk] = {}
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._next_tsn = 0
        self._held = 0

    @override
    def add_chunk(self, chunk: DataChunk) -> None:
        if chunk.flags & SCTP_DATA_UNORDERED:
            raise PeerMisbehavedError("an unordered message on an ordered channel")
        if chunk.flags & SCTP_DATA_FIRST_FRAG:
            self._first[chunk.stream_seq] = chunk
        else:
            self._rest[chunk.tsn] = chunk
        self._held += len(chunk.user_data)
        if self._held > MAX_HELD:
            raise PeerMisbehavedError("too much data behind a gap")

    @override
    def pop_messages(self) -> Iterator[tuple[int, int, bytes]]:
        while (chunk := self._next_chunk()) is not None:
            self._parts.append(chunk.user_data)
            self._parts_bytes += len(chunk.user_data)
            self._held -= len(chunk.user_data)
            self._next_tsn = (chunk.tsn + 1) % 2**32
            if chunk.flags & SCTP_DATA_LAST_FRAG:
                yield chunk.stream_id, chunk.protocol, self._finish()
            elif self._parts_bytes > MAX_UNFINISHED:
                raise PeerMisbehavedError("a message that does not end")

    def _next_chunk(self) -> DataChunk | None:
        if self._parts:
            return self._rest.pop(self._next_tsn, None)
        return self._first.pop(self.sequence_number, None)

    def _finish(self) -> bytes:
        message = b"".join(self._parts)
        self._parts.clear()
        self._parts_bytes = 0
        self.sequence_number = (self.sequence_number + 1) % 2**16
        return message


class HardenedSctp(RTCSctpTransport):
    """An SCTP association that carries our two ordered, reliable channels and nothing else."""

    _unacknowledged: int
    _sack_timer: asyncio.TimerHandle | None
    _sack_task: asyncio.Task[None]
    _resend_pending: bool
    _stuck_at: int | None
    _backoff: float

    @override
    async def _handle_data(self, data: bytes) -> None:
        try:
            await super()._handle_data(data)
        except (PeerMisbehavedError, AssertionError, struct.error, LookupError, ValueError):
            # The library answers malformed chunks with asserts and parser errors that would only end its task.
            await self._abort()
            self._set_state(self.State.CLOSED)

    @override
    def _get_inbound_stream(self, stream_id: int) -> InboundStream:
        if stream_id not in _STREAMS:
            raise PeerMisbehavedError(f"data on stream {stream_id}")
        if stream_id not in self._inbound_streams:
            self._inbound_streams[stream_id] = BoundedStream()
        return self._inbound_streams[stream_id]

    @override
    async def _receive_forward_tsn_chunk(self, chunk: ForwardTsnChunk) -> None:
        raise PeerMisbehavedError("skipped data on a reliable channel")

    @override
    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id != WEBRTC_BINARY:
            raise PeerMisbehavedError(f"payload protocol {pp_id} on a negotiated binary channel")
        await super()._data_channel_receive(stream_id, pp_id, data)

    @override
    def _t3_expired(self) -> None:
        """A timeout: what the peer said that it has is not sent again (RFC 9260 §6.3.3); the library repeats all."""
        self._resend_pending = True
        self._backoff = self._backoff * 2 if self._stuck_at == self._last_sacked_tsn else 1.0
        self._stuck_at = self._last_sacked_tsn
        super()._t3_expired()
        for chunk in self._sent_queue:
            if chunk._acked:
                chunk._retransmit = False

    @override
    def _t3_restart(self) -> None:
        self._t3_cancel()
        self._t3_start()

    @override
    def _t3_start(self) -> None:
        assert self._t3_handle is None
        assert self._loop is not None
        patience = self._rto
        if self._stuck_at == self._last_sacked_tsn:
            patience = max(patience, min(patience * self._backoff, BACKOFF_MAX))
        self._t3_handle = self._loop.call_later(patience, self._t3_expired)

    @override
    def _update_rto(self, R: float) -> None:
        super()._update_rto(R)
        assert self._srtt is not None
        assert self._rttvar is not None
        self._rto = max(RTO_MIN, min(self._srtt + 4 * self._rttvar, SCTP_RTO_MAX))

    @override
    async def _transmit(self) -> None:
        """Send what the windows allow, with a larger burst, and look for lost packets only after a loss.

        The library walks through everything in flight for every acknowledgement.
        """
        recovering = self._fast_recovery_exit is not None
        burst = (RECOVERY_BURST if recovering else BURST) * USERDATA_MAX_LENGTH
        window = min(self._flight_size + burst, self._cwnd)
        if recovering or self._resend_pending:
            self._resend_pending = True
            if not await self._retransmit(window):
                return
            self._resend_pending = recovering
        while self._outbound_queue and self._flight_size < window:
            chunk = self._outbound_queue.popleft()
            self._sent_queue.append(chunk)
            chunk._sent_time = time.time()
            await self._send_data_chunk(chunk)
            if not self._t3_handle:
                self._t3_start()

    async def _retransmit(self, window: int) -> bool:
        """Send lost packets again. Returns whether none is left, so that new ones may follow."""
        earliest = True
        for chunk in list(self._sent_queue):
            if chunk._retransmit and not chunk._acked:
                if self._fast_recovery_transmit:
                    self._fast_recovery_transmit = False
                elif self._flight_size >= window:
                    return False
                chunk._misses = 0
                chunk._retransmit = False
                await self._send_data_chunk(chunk)
                if earliest:
                    self._t3_restart()
            earliest = False
        return True

    async def _send_data_chunk(self, chunk: DataChunk) -> None:
        self._flight_size_increase(chunk)
        chunk._sent_count += 1
        await self._send_chunk(chunk)

    @override
    async def _send_sack(self) -> None:
        """Acknowledge every second packet, and at once where something is missing or came twice."""
        self._unacknowledged += 1
        urgent = self._sack_misordered or self._sack_duplicates
        if self._unacknowledged < PACKETS_PER_SACK and not urgent:
            if self._sack_timer is None:
                self._sack_timer = asyncio.get_running_loop().call_later(SACK_DELAY, self._sack_overdue)
            return
        self._unacknowledged = 0
        await super()._send_sack()

    def _sack_overdue(self) -> None:
        self._sack_timer = None
        if self._sack_needed and self._association_state == self.State.ESTABLISHED:
            self._unacknowledged = PACKETS_PER_SACK
            self._sack_task = asyncio.ensure_future(self._send_overdue_sack())

    async def _send_overdue_sack(self) -> None:
        try:
            await self._send_sack()
        except (ConnectionError, SSL.Error):
            # An association may end while the acknowledgement waits; DTLS below it has then, too.
            self._set_state(self.State.CLOSED)


def harden(sctp: RTCSctpTransport, gather_deadline: float) -> None:
    """Put the hardened classes in place.

    Args:
        sctp: The association of a fresh connection, before any description was set.
        gather_deadline: Seconds that STUN and TURN servers have to answer.
    """
    sctp.__class__ = HardenedSctp
    assert isinstance(sctp, HardenedSctp)
    sctp._unacknowledged = 0
    sctp._sack_timer = None
    sctp._resend_pending = False
    sctp._stuck_at = None
    sctp._backoff = 1.0
    sctp._rto = RTO_INITIAL
    ice = sctp.transport.transport._connection
    ice.__class__ = HardenedIce
    assert isinstance(ice, HardenedIce)
    ice.gather_deadline = gather_deadline
