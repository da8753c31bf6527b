# SPDX-License-Identifier: Apache-2.0
"""An agent's port to the relay that runs inside it: no socket, no login. Layer: signaling, asyncio.

It behaves as a network client does, bounds included, so that an agent treats both alike.
Specification: docs/specs/signaling.md §9.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from typing_extensions import override

from p2p_handoff.errors import UnreachableError
from p2p_handoff.ids import DeviceId
from signaling.hub import Hub
from signaling.messages import FromRelay, Request
from signaling.port import RelayPort
from signaling.wire import validate

_ADDRESS = "local"


class LocalPort(RelayPort):
    """Made by ``Relay.local_port``; implements ``hub.Outlet``."""

    def __init__(self, hub: Hub, device: DeviceId) -> None:
        super().__init__(device)
        self._hub = hub
        self._client = hub.enter(self, device, _ADDRESS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def deliver(self, message: FromRelay) -> None:
        """Take a message from the hub."""
        self._arrived(message)

    @override
    async def _transmit(self, request: Request) -> None:
        if self.closed.is_set():
            raise UnreachableError(self.close_reason)
        validate(request)
        self._hub.handle(self._client, request)

    @override
    async def close(self) -> None:
        self._hub.leave(self._client)
        self._lost("this side closed the connection")
