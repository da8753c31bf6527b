# SPDX-License-Identifier: Apache-2.0
"""A relay under full hostile control: a real one, with somebody between it and every client who changes what passes.

The real relay is told the name of the one that clients dial, so that their logins are good: nothing of what the relay
itself would refuse stands in the attacker's way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import cbor2
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from p2p_handoff.ids import device_id
from signaling.policy import SharedPolicy
from signaling.relay import Relay
from signaling.server import serve

Tamper = Callable[[str, dict[str, Any]], Iterable[dict[str, Any]]]
"""Gets the direction (``up`` to the relay, ``down`` to a client) and a message; returns what passes instead."""
Socket = web.WebSocketResponse | ClientWebSocketResponse


def genuine(_direction: str, message: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Let a message pass as it is."""
    return (message,)


@dataclass(slots=True)
class _Client:
    """One connection."""

    device: str = ""


class HostileRelay:
    """What clients dial.

    Attributes:
        tamper: What is done to messages from now on.
        seen: Every byte that anybody sent.
        messages: Every message, with its direction.
        party: Whose connection the message that is tampered with is on, by device; empty before its login.
        online: Devices whose login was answered, and that are still here.
    """

    def __init__(self) -> None:
        self.tamper: Tamper = genuine
        self.seen = bytearray()
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.party = ""
        self.online: set[str] = set()
        self.upstream = ""
        self.url = ""

    async def accept(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client."""
        down = web.WebSocketResponse(max_msg_size=1 << 20)
        await down.prepare(request)
        who = _Client()
        async with ClientSession() as session, session.ws_connect(self.upstream, max_msg_size=1 << 20) as up:
            pumps = [
                asyncio.create_task(self._pump("up", who, down, up)),
                asyncio.create_task(self._pump("down", who, up, down)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        self.online.discard(who.device)
        with contextlib.suppress(ConnectionError):
            await down.close()
        return down

    async def _pump(self, direction: str, who: _Client, source: Socket, sink: Socket) -> None:
        async for frame in source:
            if frame.type is not WSMsgType.BINARY:
                return
            self.seen += frame.data
            message = cbor2.loads(frame.data)
            self.messages.append((direction, message))
            if message["type"] == "login":
                who.device = device_id(message["identity_key"])
            if message["type"] == "welcome":
                self.online.add(who.device)
            self.party = who.device
            for changed in self.tamper(direction, message):
                with contextlib.suppress(ConnectionError):
                    await sink.send_bytes(cbor2.dumps(changed, canonical=True))


@asynccontextmanager
async def hostile_relay() -> AsyncIterator[HostileRelay]:
    """A hostile relay on the loopback interface, and the real one behind it."""
    hostile = HostileRelay()
    app = web.Application()
    app.router.add_get("/v1", hostile.accept)
    async with serve(app, ["127.0.0.1"]) as dialled:
        hostile.url = f"ws://127.0.0.1:{dialled[0][1]}/v1"
        relay = Relay(SharedPolicy(), hosts=[f"127.0.0.1:{dialled[0][1]}"])
        async with serve(relay.application(), ["127.0.0.1"]) as behind:
            hostile.upstream = f"ws://127.0.0.1:{behind[0][1]}/v1"
            yield hostile
