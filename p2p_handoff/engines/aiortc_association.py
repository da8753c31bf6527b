# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001 - takes the place of parts of a library: the versions are pinned and checked by tests
"""An SCTP association of aiortc that moves data by our own halves. Layer: I/O ring.

The library opens and ends the association and keeps its channels. What crosses it, data and acknowledgements, is read
and made by ``sctp_sending`` and ``sctp_receiving``; everything a peer may not send aborts it.
Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from aiortc import RTCDataChannel, RTCSctpTransport
from aiortc.rtcsctptransport import WEBRTC_BINARY, Chunk, DataChunk, ForwardTsnChunk, HeartbeatAckChunk, SackChunk
from OpenSSL import SSL
from typing_extensions import override

from p2p_handoff.engines.aiortc_datagrams import DirectDtls
from p2p_handoff.engines.path_size import PathSize
from p2p_handoff.engines.sctp_packets import (
    Acknowledgement,
    Fragment,
    Framing,
    PeerMisbehavedError,
    abort_chunk,
    read,
    sack_chunk,
)
from p2p_handoff.engines.sctp_receiving import PACKETS_PER_SACK_WAITING, Arrived, CompleteMessages, Inbound
from p2p_handoff.engines.sctp_sending import Sender
from p2p_handoff.engines.segmentation import MAX_SEGMENTS

SACK_DELAY: Final = 0.01
"""Longest that an acknowledgement waits, in seconds (RFC 9260 §6.2 allows 0.2)."""
PROBE_AFTER: Final = 32
"""Packets after which the size of the path is looked for: for less it would not pay."""
PROBE_INTERVAL: Final = 1.0
"""Seconds between two rounds of probes."""
MAX_WAITING: Final = 4096
"""Packets that wait while the library deals with one: more are dropped, as a network may."""
SLICE: Final = 0.01
"""Seconds that messages may be handed on for in one step of the event loop: a packet that fills a gap, and many packets
with small messages, complete thousands of them at once."""

_MALFORMED: Final = (PeerMisbehavedError, AssertionError, struct.error, LookupError, ValueError)
"""The library answers malformed chunks with asserts and parser errors that would only end its task."""
_GONE: Final = (ConnectionError, SSL.Error)


class HardenedSctp(RTCSctpTransport):
    """An SCTP association that carries our two ordered, reliable channels and nothing else."""

    _sender: Sender | None
    _inbound: Inbound | None
    _framing: Framing | None
    _packets_waiting: deque[bytes]
    _working: asyncio.Task[None] | None
    _alarm: asyncio.TimerHandle | None
    _sack_timer: asyncio.TimerHandle | None
    _flush_due: bool
    _path: PathSize | None
    _probe_timer: asyncio.TimerHandle | None
    _outbox: list[bytes]
    _complete: CompleteMessages
    _handing_on: asyncio.Handle | None
    """Set while messages wait for the next step of the event loop."""
    _is_reading: bool
    """Whether more packets may wait in the socket: ``rest`` follows."""

    def prepare(self) -> None:
        """What a constructor would do: this class takes the place of the library's in a finished object."""
        self._sender = self._inbound = self._framing = self._path = None
        self._packets_waiting = deque()
        self._complete = CompleteMessages()
        self._working = self._alarm = self._sack_timer = self._probe_timer = self._handing_on = None
        self._flush_due = self._is_reading = False
        self._outbox = []

    # --- what comes in ------------------------------------------------------------------------------

    def take(self, packet: bytes) -> None:
        """A packet came in: data and acknowledgements at once, anything else through the library."""
        self._is_reading = True
        if self._working is None and self._dealt_with(packet):
            return
        if len(self._packets_waiting) < MAX_WAITING:
            self._packets_waiting.append(packet)
        if self._working is None:
            self._working = asyncio.ensure_future(self._work_off())

    async def _work_off(self) -> None:
        try:
            while self._packets_waiting:
                await self._handle_data(self._packets_waiting.popleft())
        except _GONE:
            self._set_state(self.State.CLOSED)
        finally:
            self._working = None

    def rest(self) -> None:
        """Nothing more waits in the socket: time to hand on what is complete, to send, and to acknowledge."""
        self._is_reading = False
        if self._handing_on is None:
            self._hand_on()
        self._guarded(self._post)
        inbound = self._inbound
        if inbound is None or not inbound.is_owing:
            return
        if inbound.is_due():
            self._guarded(self._acknowledge)
        elif self._sack_timer is None:
            self._sack_timer = self._event_loop.call_later(SACK_DELAY, self._sack_overdue)

    @override
    async def _handle_data(self, data: bytes) -> None:
        if self._dealt_with(data):
            self.rest()
            return
        try:
            await super()._handle_data(data)
        except _MALFORMED:
            self._refuse()

    def _dealt_with(self, packet: bytes) -> bool:
        """Whether nothing is left to do with a packet."""
        try:
            found = read(packet, self._local_verification_tag)
            if found is None:
                return False
            if self._last_received_tsn is not None and self._association_state != self.State.CLOSED:
                for item in found:
                    self._take(item)
        except _MALFORMED:
            self._refuse()
        except _GONE:
            self._set_state(self.State.CLOSED)
        return True

    def _take(self, item: Fragment | Acknowledgement) -> None:
        if isinstance(item, Acknowledgement):
            self._acknowledged(item)
            return
        inbound = self._receiving()
        self._complete.add(inbound.take(item))
        self._last_received_tsn = inbound.cumulative
        if inbound.is_due(PACKETS_PER_SACK_WAITING):
            self._acknowledge()

    def _receiving(self) -> Inbound:
        if self._inbound is None:
            assert self._last_received_tsn is not None
            self._inbound = Inbound(self._last_received_tsn, self._advertised_rwnd)
        return self._inbound

    def _hand_on(self) -> None:
        """Hand on complete messages for as long as one step may take; the next step goes on."""
        self._handing_on = None
        until = self._now() + SLICE
        try:
            while self._complete and self._now() < until:
                self._deliver(self._complete.pop())
        except _MALFORMED:
            self._complete.clear()
            self._refuse()
        if self._complete:
            self._handing_on = self._event_loop.call_soon(self._hand_on)

    def _deliver(self, arrived: Arrived) -> None:
        if arrived.protocol != WEBRTC_BINARY:
            raise PeerMisbehavedError(f"payload protocol {arrived.protocol} on a negotiated binary channel")
        channel = self._data_channels.get(arrived.stream)
        if channel is not None:
            channel.emit("message", arrived.message)

    def _acknowledge(self) -> None:
        assert self._inbound is not None
        told, duplicates = self._inbound.acknowledgement(self._complete.excess)
        self._send_now(sack_chunk(told, duplicates))

    def _sack_overdue(self) -> None:
        self._sack_timer = None
        if self._inbound is not None and self._inbound.is_owing:
            self._guarded(self._acknowledge)

    @override
    async def _receive_chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, HeartbeatAckChunk):
            self._probed(chunk)
        else:
            await super()._receive_chunk(chunk)

    @override
    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        """Data beside chunks of another kind: the library read the packet."""
        if not chunk.user_data:
            raise PeerMisbehavedError("a data chunk without data")
        self._take(Fragment(chunk.tsn, chunk.flags, chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data))
        self.rest()
        if self._reconfig_deferred is not None:
            await self._reset_deferred_streams()

    @override
    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        self._acknowledged(Acknowledgement(chunk.cumulative_tsn, chunk.advertised_rwnd, tuple(chunk.gaps)))

    @override
    async def _receive_forward_tsn_chunk(self, chunk: ForwardTsnChunk) -> None:
        raise PeerMisbehavedError("skipped data on a reliable channel")

    # --- what goes out ------------------------------------------------------------------------------

    def _acknowledged(self, told: Acknowledgement) -> None:
        if self._sender is not None:
            self._sender.acknowledge(told, self._now())
            self._pour()

    @override
    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        if isinstance(data, str):
            super()._data_channel_send(channel, data)
            return
        channel._addBufferedAmount(len(data))
        self._data_channel_queue.append((channel, WEBRTC_BINARY, data))
        if not self._flush_due:
            self._flush_due = True
            self._event_loop.call_soon(self._flush)

    @override
    async def _data_channel_flush(self) -> None:
        self._flush()

    def _flush(self) -> None:
        self._flush_due = False
        if self._association_state == self.State.ESTABLISHED:
            self._guarded(self._pour)

    def _pour(self) -> None:
        """Send what the windows allow, and move messages on while they are all sent."""
        sender = self._sending()
        queue = self._data_channel_queue
        while True:
            self._outbox += sender.packets(self._now())
            if not queue or not sender.is_idle:
                break
            channel, protocol, message = queue.popleft()
            assert channel.id is not None, "our channels have fixed numbers"
            sender.add(channel.id, protocol, message)
            channel._addBufferedAmount(-len(message))
        self._local_tsn = sender.next_tsn
        if len(self._outbox) >= MAX_SEGMENTS or not self._is_reading:
            self._post()
        self._set_alarm()
        if self._path is None and sender.sent >= PROBE_AFTER:
            self._measure_path()

    def _post(self) -> None:
        """Send what has gathered: many packets together cost little more than one."""
        packets, self._outbox = self._outbox, []
        if packets:
            self._direct.send_now(packets)

    def _sending(self) -> Sender:
        if self._sender is None:
            self._sender = Sender(self._frames(), self._local_tsn, self._ssthresh)
        return self._sender

    def _frames(self) -> Framing:
        if self._framing is None:
            self._framing = Framing(self._local_port, self._remote_port or 0, self._remote_verification_tag)
        return self._framing

    def _send_now(self, chunk: bytes) -> None:
        self._direct.send_now([self._frames().packet(chunk)])

    @property
    def _direct(self) -> DirectDtls:
        dtls = self.transport
        assert isinstance(dtls, DirectDtls)
        return dtls

    # --- the size of the path -----------------------------------------------------------------------

    def _measure_path(self) -> None:
        headers = self._direct.headers()
        if headers is not None:
            self._path = PathSize(headers)
            self._probe()

    def _probe(self) -> None:
        self._probe_timer = None
        assert self._path is not None
        probes = self._path.probes()
        for chunk in probes:
            self._guarded(partial(self._direct.probe, self._frames().packet(chunk)))
        if probes and self._association_state == self.State.ESTABLISHED:
            self._probe_timer = self._event_loop.call_later(PROBE_INTERVAL, self._probe)

    def _probed(self, chunk: HeartbeatAckChunk) -> None:
        for _, information in chunk.params:
            payload = self._path.answered(information) if self._path is not None else None
            if payload is not None:
                self._sending().enlarge(payload)

    # --- time ---------------------------------------------------------------------------------------

    @property
    def _event_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    def _now(self) -> float:
        return self._event_loop.time()

    def _set_alarm(self) -> None:
        """One timer that is moved on when it rings too early: to set it anew for each packet would cost more."""
        assert self._sender is not None
        deadline = self._sender.deadline
        if deadline is None or (self._alarm is not None and self._alarm.when() <= deadline):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._event_loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        sender = self._sender
        if sender is None or sender.deadline is None or self._association_state == self.State.CLOSED:
            return
        now = self._now()
        if sender.deadline <= now:
            sender.expire(now)
            if sender.is_blocked:  # A new connection finds out anew what the path carries.
                self._refuse()
                return
            self._guarded(self._pour)
        else:
            self._set_alarm()

    @override
    def _t3_cancel(self) -> None:
        """The association ends."""
        for timer in (self._alarm, self._sack_timer, self._probe_timer):
            if timer is not None:
                timer.cancel()
        self._alarm = self._sack_timer = self._probe_timer = None

    # --- the end ------------------------------------------------------------------------------------

    def _guarded(self, step: Callable[[], None]) -> None:
        """Do what may find that the connection below has ended."""
        try:
            step()
        except _GONE:
            self._set_state(self.State.CLOSED)

    def _refuse(self) -> None:
        """The peer misbehaved, or cannot be reached any more: an end at once."""
        self._guarded(lambda: self._send_now(abort_chunk()))
        self._set_state(self.State.CLOSED)
