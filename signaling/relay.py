# SPDX-License-Identifier: Apache-2.0
"""The relay as an aiohttp application. Layer: signaling, aiohttp. Specification: docs/specs/signaling.md §2, §8.

Standing alone it is ``Relay(SharedPolicy()).application()``; an agent serves ``Relay(EmbeddedPolicy(own))`` as
``bare_application()`` and takes ``local_port(own)`` as its client.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from p2p_handoff.ids import DeviceId, Entropy, new_room_id
from p2p_handoff.limits import (
    MAX_RELAY_MESSAGE,
    RELAY_HEARTBEAT,
    RELAY_LOGIN_DEADLINE,
    RELAY_MAX_CLIENTS,
    RELAY_MAX_PER_ADDRESS,
    RELAY_MAX_ROOMS,
    RELAY_STALL,
)
from signaling.connection import Connection, Endpoint, Terms
from signaling.hub import Hub
from signaling.local import LocalPort
from signaling.login import canonical_host
from signaling.messages import Nonce, RelayName
from signaling.metrics import render
from signaling.policy import Policy
from signaling.switchboard import Switchboard
from signaling.wire import NONCE_BYTES

PATH: Final = "/v1"
EMBEDDED_NAME: Final = RelayName("embedded")
"""Of all relays inside agents: a name of its own would tell them apart wherever they go."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much one relay takes on."""

    connections: int = RELAY_MAX_CLIENTS
    """WebSockets at once, logged in or not."""
    per_address: int = RELAY_MAX_PER_ADDRESS
    rooms: int = RELAY_MAX_ROOMS
    login_seconds: float = RELAY_LOGIN_DEADLINE
    """How long a connection may stay without a login."""
    stall_seconds: float = RELAY_STALL
    """How long a client may take none of what is written to it."""


class Relay:
    """One relay.

    Args:
        policy: Whom it serves.
        hosts: Names by which clients may dial it beside its own addresses: ``relay.example`` or with a port.
        behind_proxy: Take the client's address from the last entry of X-Forwarded-For; only behind a proxy that
            sets it, since anybody can.
        capacity: How many it serves.
        entropy: Source of nonces, room ids and nameplates.
        name: What it calls itself at logins; None for a fresh one.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        hosts: Collection[str] = (),
        behind_proxy: bool = False,
        capacity: Capacity = Capacity(),
        entropy: Entropy = os.urandom,
        name: RelayName | None = None,
    ) -> None:
        self.hub = Hub(Switchboard(policy, entropy, capacity.rooms))
        """Who is connected, by whatever way."""
        names = frozenset(host.lower() for host in hosts)
        self._terms = Terms(
            policy,
            name or RelayName(new_room_id(entropy)),
            names,
            login_seconds=capacity.login_seconds,
            stall_seconds=capacity.stall_seconds,
        )
        self._behind_proxy = behind_proxy
        self._capacity = capacity
        self._entropy = entropy
        self._by_address: Counter[str] = Counter()

    def application(self) -> web.Application:
        """A whole application: the relay, ``/healthz`` and ``/metrics``."""
        app = self.bare_application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        return app

    def bare_application(self) -> web.Application:
        """The relay and nothing beside it: what an agent is doing is nobody's business."""
        app = web.Application()
        app.router.add_get(PATH, self._accept)
        app.on_response_prepare.append(_say_little)
        app.on_shutdown.append(self._shut_down)
        return app

    def local_port(self, device: DeviceId) -> LocalPort:
        """A client in this process, logged in at once; the caller closes it. Call on the event loop."""
        return LocalPort(self.hub, device)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=render(self.hub, connections=self._by_address.total()))

    async def _shut_down(self, _app: web.Application) -> None:
        self.hub.close()

    def _address(self, request: web.Request) -> str:
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        return canonical_host(forwarded if self._behind_proxy and forwarded else request.remote or "")

    def _check_admission(self, request: web.Request, address: str) -> None:
        # Browsers always name their origin: a web page must not reach an agent's relay by way of its visitor.
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="web pages are not served\n")
        if self._by_address.total() >= self._capacity.connections:
            raise web.HTTPServiceUnavailable(text="the relay is full\n")
        if self._by_address[address] >= self._capacity.per_address:
            raise web.HTTPTooManyRequests(text="too many connections from this address\n")

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        address = self._address(request)
        self._check_admission(request, address)
        self._by_address[address] += 1
        try:
            return await self._serve(request, address)
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    @staticmethod
    def _endpoint(request: web.Request, address: str) -> Endpoint:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client went away during the upgrade")
        host, port = transport.get_extra_info("sockname")[:2]
        return Endpoint(remote=address, local_host=host, local_port=port, abort=transport.abort)

    async def _serve(self, request: web.Request, address: str) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=MAX_RELAY_MESSAGE, heartbeat=RELAY_HEARTBEAT, compress=False)
        endpoint = self._endpoint(request, address)
        try:
            await socket.prepare(request)
        except ConnectionResetError:
            return web.Response(status=400)  # The client gave up while it was let in; nobody reads this.
        self.hub.counters["connections"] += 1
        await Connection(self.hub, self._terms, socket, endpoint).run(Nonce(self._entropy(NONCE_BYTES)))
        return socket


async def _say_little(_request: web.Request, response: web.StreamResponse) -> None:
    """Versions and the clock of a device would be a fingerprint; nobody needs them."""
    for header in (hdrs.SERVER, hdrs.DATE):
        response.headers.popall(header, None)
