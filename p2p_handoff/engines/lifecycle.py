# SPDX-License-Identifier: Apache-2.0
"""What the life of every engine connection has in common. Layer: I/O ring.

An implementation reports what happens to it (``_opened``, ``_lost``, ``_arrived``, ``_drained``) and fills in
five hooks; phases, waiters, the backlog before ``start_receiving`` and the checks of ``send`` live here, so
that every engine has the same edges. Specification: docs/specs/transport.md §4.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from enum import Enum, auto
from typing import Final

from typing_extensions import override

from p2p_handoff.engines.base import EngineConnection, Receiver
from p2p_handoff.errors import EngineError, LocalProtocolError
from p2p_handoff.limits import MIB
from p2p_handoff.protocol.channels import Channel

SEND_QUEUE_LIMIT: Final = 16 * MIB
"""Bytes that one channel queues: libwebrtc's own limit, made the same for all engines."""
BACKLOG_LIMIT: Final = 16 * MIB
"""Bytes kept for a receiver that is not there yet: one full send queue of the peer."""


class Phase(Enum):
    """Where a connection is. LOST and CLOSED are final."""

    CONNECTING = auto()
    OPEN = auto()
    LOST = auto()
    CLOSED = auto()


class LiveConnection(EngineConnection):
    """The common life of a connection; subclasses move the bytes.

    Args:
        ice_deadline: Seconds that ``wait_open`` waits at most.
        accepts: Bytes per message that this side announced to accept.
    """

    def __init__(self, *, ice_deadline: float, accepts: int) -> None:
        self._ice_deadline = ice_deadline
        self._accepts = accepts
        self._phase = Phase.CONNECTING
        self._reason = ""
        self._settled = asyncio.Event()
        self._receiver: Receiver | None = None
        self._backlog: deque[tuple[Channel, bytes]] = deque()
        self._backlog_bytes = 0
        self._waiters: dict[Channel, dict[asyncio.Future[None], int]] = {channel: {} for channel in Channel}

    # --- hooks ------------------------------------------------------------------------------------

    @abstractmethod
    def _transmit(self, channel: Channel, message: bytes) -> None:
        """Hand one checked message to the implementation."""

    @abstractmethod
    def _notify_below(self, channel: Channel, size: int) -> None:
        """Arrange that ``_drained(channel)`` is called once the queue falls to ``size`` bytes."""

    @abstractmethod
    async def _release(self) -> None:
        """Give everything back. Called once, by ``close()``; must not raise."""

    # --- what implementations report --------------------------------------------------------------

    def _opened(self) -> None:
        """Both channels are open."""
        if self._phase is Phase.CONNECTING:
            self._phase = Phase.OPEN
            self._settled.set()

    def _lost(self, reason: str) -> None:
        """The connection is over and this side did not ask for it. Only the first report counts."""
        if self._phase in {Phase.LOST, Phase.CLOSED}:
            return
        self._end(Phase.LOST, reason)
        if self._receiver is not None:
            self._receiver.connection_lost(reason)

    def _arrived(self, channel: Channel, message: bytes) -> None:
        """One whole message came in."""
        if self._phase in {Phase.LOST, Phase.CLOSED}:
            return
        if len(message) > self._accepts:
            self._lost(f"the peer sent a message of {len(message)} bytes, more than this side accepts")
            return
        if self._receiver is not None:
            self._receiver.message_received(channel, message)
            return
        self._backlog_bytes += len(message)
        if self._backlog_bytes > BACKLOG_LIMIT:
            self._lost("the peer sent more than this side keeps before it listens")
            return
        self._backlog.append((channel, message))

    def _drained(self, channel: Channel) -> None:
        """The send queue of a channel has shrunk."""
        queued = self.queued_bytes(channel)
        for waiter, size in self._waiters[channel].items():
            if queued <= size and not waiter.done():
                waiter.set_result(None)
        self._arm(channel)

    # --- the interface ----------------------------------------------------------------------------

    @override
    async def wait_open(self) -> None:
        try:
            async with asyncio.timeout(self._ice_deadline):
                await self._settled.wait()
        except TimeoutError:
            self._lost(f"no connection within {self._ice_deadline:g} seconds")
        self._require_open()

    @override
    def start_receiving(self, receiver: Receiver) -> None:
        if self._receiver is not None:
            raise LocalProtocolError("start_receiving was called twice")
        self._receiver = receiver
        while self._backlog and self._phase is not Phase.CLOSED:
            receiver.message_received(*self._backlog.popleft())
        self._backlog.clear()
        if self._phase is Phase.LOST:
            receiver.connection_lost(self._reason)

    @override
    def send(self, channel: Channel, message: bytes) -> None:
        self._require_open()
        if not message:
            raise LocalProtocolError("an empty message cannot be sent")
        if len(message) > self.max_message_size:
            raise LocalProtocolError(f"a message of {len(message)} bytes exceeds the limit of {self.max_message_size}")
        if self.queued_bytes(channel) + len(message) > SEND_QUEUE_LIMIT:
            raise LocalProtocolError(f"more than {SEND_QUEUE_LIMIT} bytes would be queued on {channel.name}")
        self._transmit(channel, message)

    @override
    async def wait_queued_below(self, channel: Channel, size: int) -> None:
        self._require_open()
        waiters = self._waiters[channel]
        while self.queued_bytes(channel) > size:
            waiter = asyncio.get_running_loop().create_future()
            waiters[waiter] = size
            self._arm(channel)
            try:
                await waiter
            finally:
                del waiters[waiter]
            self._require_open()

    @override
    async def close(self) -> None:
        if self._phase is Phase.CLOSED:
            return
        self._end(Phase.CLOSED, "the connection was closed on this side")
        self._receiver = None
        self._backlog.clear()
        await self._release()

    # --- inside -----------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._phase is not Phase.OPEN:
            raise EngineError(self._reason or "the connection is not open yet")

    def _require_alive(self) -> None:
        """Raise if the connection ended, for instance while a step of the negotiation was awaited."""
        if self._phase in {Phase.LOST, Phase.CLOSED}:
            raise EngineError(self._reason)

    def _end(self, phase: Phase, reason: str) -> None:
        self._phase = phase
        self._reason = reason
        self._settled.set()
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _arm(self, channel: Channel) -> None:
        pending = [size for waiter, size in self._waiters[channel].items() if not waiter.done()]
        if pending and self._phase is Phase.OPEN:
            self._notify_below(channel, max(pending))
