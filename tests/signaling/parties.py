# SPDX-License-Identifier: Apache-2.0
"""Devices and relays for tests of the relay and its client."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from p2p_handoff.ids import DeviceId, Entropy, device_id
from signaling import messages as m
from signaling.login import LOGIN_LABEL, answer, host_label
from signaling.policy import SharedPolicy
from signaling.relay import Relay
from signaling.server import serve
from signaling.wire import decode_from_relay, encode


@dataclass(frozen=True)
class Party:
    """A device with an identity key."""

    secret: Ed25519PrivateKey

    @property
    def key(self) -> bytes:
        return self.secret.public_key().public_bytes_raw()

    @property
    def device(self) -> DeviceId:
        return device_id(self.key)

    def sign(self, message: bytes) -> bytes:
        return self.secret.sign(LOGIN_LABEL + message)


def party(seed: int) -> Party:
    return Party(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


ALICE, BOB, CAROL, MALLORY = (party(seed) for seed in range(1, 5))


def seeded(seed: int = 0) -> Entropy:
    return random.Random(seed).randbytes


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    """The address of an application on the loopback interface, as ``host:port``."""
    async with serve(app, ["127.0.0.1"]) as addresses:
        yield f"127.0.0.1:{addresses[0][1]}"


@asynccontextmanager
async def running_relay(relay: Relay | None = None) -> AsyncIterator[str]:
    """The URL of a relay on the loopback interface."""
    async with running((relay or Relay(SharedPolicy())).application()) as address:
        yield f"ws://{address}/v1"


class RawClient:
    """A client that can also misbehave."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def receive(self) -> m.FromRelay:
        return decode_from_relay(await self.socket.receive_bytes())

    async def send(self, message: m.FromClient) -> None:
        await self.socket.send_bytes(encode(message))

    async def ask(self, message: m.FromClient) -> m.FromRelay:
        await self.send(message)
        return await self.receive()

    async def challenge(self) -> m.Challenge:
        challenge = await self.receive()
        assert isinstance(challenge, m.Challenge)
        return challenge

    async def log_in(self, who: Party, host: str = "") -> m.FromRelay:
        login = answer(await self.challenge(), m.HostLabel(host or self.host), who.key, who.sign)
        assert login is not None
        return await self.ask(login)

    @property
    def host(self) -> str:
        peer: tuple[str, int] = self.socket.get_extra_info("peername")[:2]
        return host_label(*peer)

    async def farewell(self) -> m.Farewell:
        """The reason of the goodbye that must come next, after which the relay closes."""
        message = await self.receive()
        assert isinstance(message, m.Goodbye)
        assert (await self.socket.receive()).data in {1000, 1001, 1002, 1008, 1009}
        return message.reason


@asynccontextmanager
async def dialled(url: str, **options: Any) -> AsyncIterator[RawClient]:
    """A WebSocket without a login."""
    async with ClientSession() as session, session.ws_connect(url, **options) as socket:
        yield RawClient(socket)


@asynccontextmanager
async def logged_in(url: str, who: Party) -> AsyncIterator[RawClient]:
    """A WebSocket after a good login."""
    async with dialled(url) as client:
        assert isinstance(await client.log_in(who), m.Welcome)
        yield client
