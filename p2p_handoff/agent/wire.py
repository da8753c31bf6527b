# SPDX-License-Identifier: Apache-2.0
"""The pump: one protocol connection driven over one engine connection. Layer: agent.

Everything that decides is in protocol.connection; this moves frames, keeps time and applies back pressure.
Specification: docs/specs/transport.md §4.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Protocol

from p2p_handoff.agent.rate import Rate
from p2p_handoff.agent.stopwatch import Stopwatch
from p2p_handoff.engines.base import EngineConnection
from p2p_handoff.errors import HandoffError, TimedOutError, UnreachableError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import (
    FRAME_SECONDS,
    HANDSHAKE_DEADLINE,
    MAX_NATIVE_FRAME,
    MIB,
    MIN_QUEUE,
    QUEUE_SECONDS,
    SLOW_FRAME,
)
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.protocol.connection import (
    Connection,
    Event,
    MessageReceived,
    ObjectReceived,
    Parameters,
    PeerLeft,
    PeerReady,
    PeerSilent,
    Phase,
)
from p2p_handoff.protocol.messages import Hello, Message
from p2p_handoff.protocol.records import ObjectRecord

log = logging.getLogger(__name__)

_READ_AHEAD = MIB
"""Bulk bytes that producers may queue beyond what the engine took."""

_RATE_WINDOW = 0.1
"""Seconds over which the sending rate is measured."""


class WireListener(Protocol):
    """Who gets what arrives on a wire."""

    def message_received(self, wire: Wire, message: Message) -> None:
        """One message, in order."""

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        """One object, in order; call ``wire.consumed(record.wire_bytes)`` once it is dealt with."""

    def wire_closed(self, wire: Wire, error: HandoffError) -> None:
        """The wire is over."""


class Wire:
    """A live, encrypted connection to one peer.

    Args:
        engine: An open engine connection.
        parameters: Identities and keys.
        peer: The other device.
        engine_name: For reports.
        seen_before: The highest counter that the peer had shown when this device made its part of the exchange from
            which the connection came: whatever the peer says on it, it says later than that.
    """

    def __init__(
        self, engine: EngineConnection, parameters: Parameters, peer: DeviceId, engine_name: str, *, seen_before: int
    ) -> None:
        loop = asyncio.get_running_loop()
        self.peer = peer
        self.engine_name = engine_name
        self.seen_before = seen_before
        self.dialler = parameters.dialler
        self.hello: Hello | None = None
        self._listener: WireListener | None = None
        self._early: list[Message | ObjectRecord] = []
        self.last_used = loop.time()
        self._engine = engine
        self._loop = loop
        self._core = Connection(parameters, loop.time())
        self._ready: asyncio.Future[Hello] = loop.create_future()
        self._closed: asyncio.Future[HandoffError] = loop.create_future()
        self._over = asyncio.Event()
        self._kick = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._rate = 0.0
        self._outward, self._inward = Rate(), Rate()
        self._mark(loop.time())
        self._queue_full, self._no_credit = Stopwatch(), Stopwatch()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> Hello:
        """Run the handshake.

        Raises:
            TrustError, VersionError, SealError, RemoteProtocolError: The peer is not who or what it should be.
            TimedOutError: It did not answer.
        """
        self._engine.start_receiving(self)
        self._core.start()
        self._flush()
        self._tasks = [
            self._loop.create_task(self._tick(), name=f"tick {self.peer[:6]}"),
            self._loop.create_task(self._pump(), name=f"bulk {self.peer[:6]}"),
        ]
        try:
            async with asyncio.timeout(HANDSHAKE_DEADLINE):
                return await asyncio.shield(self._ready)
        except TimeoutError:
            error = TimedOutError("the other device did not finish the handshake")
            await self._end(error)
            raise error from None
        except asyncio.CancelledError:
            await self._end(UnreachableError("this device gave the connection up"))
            raise

    def listen(self, listener: WireListener) -> None:
        """Deliver to a listener from now on, first what arrived since the handshake. Call once."""
        self._listener = listener
        early, self._early = self._early, []
        try:
            for item in early:
                self._deliver(item)
        except Exception as error:  # noqa: BLE001 - as in message_received
            self._failed(error)
        if self._closed.done():
            listener.wire_closed(self, self._closed.result())

    @property
    def is_open(self) -> bool:
        """True until the connection ended for whatever reason."""
        return not self._closed.done()

    async def wait_closed(self) -> None:
        """Return once the connection is over."""
        await asyncio.shield(self._closed)

    async def carries(self, answer: asyncio.Future[Any]) -> bool:
        """Wait for the answer to something that was sent; False when the connection ended before it came."""
        closed = asyncio.ensure_future(self.wait_closed())
        try:
            await asyncio.wait((answer, closed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
        return answer.done()

    @property
    def bulk_received(self) -> int:
        """Bulk bytes received so far."""
        return self._core.bulk_received

    @property
    def bulk_sent(self) -> int:
        """Bulk bytes sent so far."""
        return self._core.bulk_sent

    @property
    def sending(self) -> float:
        """Bulk bytes per second sent over the last few seconds."""
        return self._outward.per_second(self.bulk_sent, self._loop.time())

    @property
    def receiving(self) -> float:
        """Bulk bytes per second received over the last few seconds."""
        return self._inward.per_second(self.bulk_received, self._loop.time())

    @property
    def round_trip(self) -> float | None:
        """Seconds that a ping and its answer take, smoothed; None before the first answer."""
        return self._core.round_trip

    @property
    def queue_full(self) -> float:
        """Seconds for which content waited so far because the engine's queue was full."""
        return self._queue_full.seconds(self._loop.time())

    @property
    def no_credit(self) -> float:
        """Seconds for which content waited so far because the peer had given no credit for more."""
        return self._no_credit.seconds(self._loop.time())

    async def path_kind(self) -> str:
        """``host``, ``reflexive``, ``relayed`` or ``unknown``."""
        return (await self._engine.path()).kind.value

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            UnreachableError: The connection is over.
        """
        self._check_open()
        self.last_used = self._loop.time()
        self._core.send(message)
        self._flush()

    async def send_object(self, record: ObjectRecord) -> None:
        """Queue an object; returns when there is room for another.

        Raises:
            UnreachableError: The connection is over.
        """
        self._check_open()
        self.last_used = self._loop.time()
        self._core.send_object(record)
        self._kick.set()
        if self._core.bulk_pending > _READ_AHEAD:
            self._room.clear()
            await self._room.wait()

    def consumed(self, wire_bytes: int) -> None:
        """Objects of that many stream bytes are dealt with."""
        if not self._closed.done():
            self._core.consumed(wire_bytes)
            self._flush()

    async def close(self, reason: str = "closed") -> None:
        """Say goodbye and close."""
        if not self._closed.done():
            self._core.close(reason)
            self._flush()
            with contextlib.suppress(HandoffError, TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._engine.wait_queued_below(Channel.CONTROL, 0)
        await self._end(UnreachableError("this device closed the connection"))

    async def ended(self) -> None:
        """Wait until a wire that is not open any more has told its listener."""
        await self._over.wait()

    # --- Receiver (called by the engine) ------------------------------------------------------------

    def message_received(self, channel: Channel, message: bytes) -> None:
        """A frame arrived."""
        try:
            for event in self._core.receive(channel, message, self._loop.time()):
                self._act(event)
        except Exception as error:  # noqa: BLE001 - what a peer sends must not reach into the engine
            self._failed(error)
            return
        self._flush()
        if self._core.bulk_pending:
            self._kick.set()

    def connection_lost(self, reason: str) -> None:
        """The engine's connection is over."""
        self._end_soon(UnreachableError(f"the connection broke ({reason})"))

    # --- inside ---------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        # The core knows first that the peer has left; the rest of the end follows a moment later.
        if self._closed.done() or self._core.phase is not Phase.OPEN:
            raise UnreachableError("the connection to the other device is closed")

    def _failed(self, error: Exception) -> None:
        """Nothing more can be believed or done on this wire."""
        if isinstance(error, HandoffError):
            log.warning("connection to %s: %s", self.peer[:6], error)
            self._end_soon(error)
        else:
            log.error("connection to %s failed in a way that nobody foresaw", self.peer[:6], exc_info=error)
            self._end_soon(UnreachableError("something unexpected happened on the connection"))

    def _act(self, event: Event) -> None:
        match event:
            case PeerReady(hello, _):
                self.hello = hello
                if not self._ready.done():
                    self._ready.set_result(hello)
            case MessageReceived(item) | ObjectReceived(item):
                self.last_used = self._loop.time()
                self._deliver(item)
            case PeerSilent():
                self._end_soon(UnreachableError("the other device went silent"))
            case PeerLeft(reason):
                self._end_soon(UnreachableError(f"the other device closed the connection ({reason})"))

    def _deliver(self, item: Message | ObjectRecord) -> None:
        if self._listener is None:
            self._early.append(item)
        elif isinstance(item, ObjectRecord):
            self._listener.object_received(self, item)
        else:
            self._listener.message_received(self, item)

    def _flush(self) -> None:
        for frame in self._core.control_frames():
            try:
                self._engine.send(Channel.CONTROL, frame)
            except HandoffError as error:
                self._end_soon(error)
                return

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._core.next_tick() - self._loop.time()))
            now = self._loop.time()
            for event in self._core.tick(now):
                self._act(event)
            self._flush()
            self._mark(now)

    def _mark(self, now: float) -> None:
        self._outward.mark(self.bulk_sent, now)
        self._inward.mark(self.bulk_received, now)

    async def _pump(self) -> None:
        try:
            while True:
                await self._kick.wait()
                self._kick.clear()
                await self._send_bulk()
        except Exception as error:  # noqa: BLE001 - a pump that stood still would look like a slow peer
            self._failed(error)

    async def _send_bulk(self) -> None:
        started, sent = self._loop.time(), 0
        self._no_credit.stop(started)
        while (frame := self._core.bulk_frame(self._frame_limit())) is not None:
            self._engine.send(Channel.BULK, frame)
            sent += len(frame)
            if self._core.bulk_pending <= _READ_AHEAD // 2:
                self._room.set()
            limit = self._queue_limit()
            if self._engine.queued_bytes(Channel.BULK) > limit:
                self._queue_full.start(self._loop.time())
                await self._engine.wait_queued_below(Channel.BULK, limit // 2)
                self._queue_full.stop(self._loop.time())
            if (elapsed := self._loop.time() - started) > _RATE_WINDOW:
                self._measure(sent, elapsed)
                started, sent = self._loop.time(), 0
        if self._core.bulk_pending:
            self._no_credit.start(self._loop.time())
        if self._core.bulk_pending <= _READ_AHEAD // 2:
            self._room.set()

    def _queue_limit(self) -> int:
        return int(min(max(self._rate * QUEUE_SECONDS, MIN_QUEUE), self._engine.worth_queueing))

    def _frame_limit(self) -> int:
        return int(min(max(self._rate * FRAME_SECONDS, SLOW_FRAME), MAX_NATIVE_FRAME))

    def _measure(self, sent: int, seconds: float) -> None:
        self._rate = 0.7 * self._rate + 0.3 * sent / seconds if self._rate else sent / seconds

    def _end_soon(self, error: HandoffError) -> None:
        if not self._closed.done():
            self._tasks.append(self._loop.create_task(self._end(error)))

    async def _end(self, error: HandoffError) -> None:
        if self._closed.done():
            return
        self._closed.set_result(error)
        self._room.set()
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        try:
            await self._engine.close()
        finally:
            # Also when whoever closes is cancelled: a handoff that is not told would wait for ever.
            if self._listener is not None:
                self._listener.wire_closed(self, error)
            self._over.set()
