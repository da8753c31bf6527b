# SPDX-License-Identifier: Apache-2.0
"""One client's WebSocket at the relay, from challenge to goodbye. Layer: signaling, asyncio and aiohttp.

Two tasks: this one reads, paced by a token bucket, so that a flood waits in the sender's own socket; the
other writes what the hub delivers. Specification: docs/specs/signaling.md §3, §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType, web

from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.ids import DeviceId, device_id
from p2p_handoff.limits import (
    MAX_ENVELOPE,
    RELAY_BURST,
    RELAY_MESSAGES_PER_SECOND,
    ROOM_LIFETIME,
)
from signaling.bucket import TokenBucket
from signaling.hub import Hub
from signaling.login import VERSIONS, check_signature, is_own_host
from signaling.messages import (
    Challenge,
    Count,
    Farewell,
    FromClient,
    FromRelay,
    Goodbye,
    Login,
    Nonce,
    RelayName,
    Welcome,
)
from signaling.outbox import Outbox
from signaling.policy import Policy
from signaling.rooms import ClientKey
from signaling.wire import decode_from_client, encode


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection comes from, where it arrived, and how to drop it."""

    remote: str
    """The client's address, without port."""
    local_host: str
    local_port: int
    abort: Callable[[], None]
    """Drops the TCP connection without a word."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every connection of one relay is held to."""

    policy: Policy
    relay: RelayName
    hosts: Collection[str]
    """Names by which clients may dial this relay beside its own addresses."""
    login_seconds: float
    stall_seconds: float
    """How long a client may take none of what is written to it."""


class _Leave(Exception):  # noqa: N818 - it ends the reading loop and never leaves this module
    def __init__(self, farewell: Farewell) -> None:
        super().__init__(farewell.value)
        self.farewell = farewell


class _HungUp(Exception):  # noqa: N818 - the client ended the connection, which is no error
    pass


class Connection:
    """Serves one client; implements ``hub.Outlet``."""

    def __init__(self, hub: Hub, terms: Terms, socket: web.WebSocketResponse, endpoint: Endpoint) -> None:
        self._hub = hub
        self._terms = terms
        self._socket = socket
        self._endpoint = endpoint
        self._outbox = Outbox()
        self._client: ClientKey | None = None
        self._congested = False
        self._writer: asyncio.Task[None] | None = None

    async def run(self, nonce: Nonce) -> None:
        """Serve until either side ends it.

        Args:
            nonce: Fresh random bytes, never used before.
        """
        self._writer = asyncio.create_task(self._write())
        try:
            await self._serve(nonce)
        except _Leave as leave:
            self._part(leave.farewell)
        except _HungUp:
            self._outbox.end()
        finally:
            if self._client is not None:
                self._hub.leave(self._client)
            self._outbox.end()
            await self._writer

    def deliver(self, message: FromRelay) -> None:
        """Queue a message; a client that lets the queue overflow is cut off."""
        if self._outbox.is_ended:
            return
        if not self._outbox.put(encode(message)):
            self._cut_off()
        if isinstance(message, Goodbye):
            self._outbox.end()
        self._note_congestion()

    def _part(self, farewell: Farewell) -> None:
        self._hub.counters[f"farewells/{farewell.value}"] += 1
        self.deliver(Goodbye(farewell))

    def _cut_off(self) -> None:
        self._hub.counters[f"farewells/{Farewell.TOO_SLOW.value}"] += 1
        self._outbox.end()
        if self._writer is not None:
            self._writer.cancel()

    def _note_congestion(self) -> None:
        if self._client is None or self._congested == self._outbox.is_congested:
            return
        self._congested = self._outbox.is_congested
        self._hub.switchboard.set_congested(self._client, congested=self._congested)

    async def _serve(self, nonce: Nonce) -> None:
        device = await self._log_in(nonce)
        self._client = self._hub.enter(self, device, self._endpoint.remote)
        loop = asyncio.get_running_loop()
        bucket = TokenBucket(RELAY_MESSAGES_PER_SECOND, RELAY_BURST, loop.time())
        while True:
            message = await self._receive()
            if isinstance(message, Login):
                raise _Leave(Farewell.BAD_MESSAGE)
            await asyncio.sleep(bucket.wait(loop.time()))
            self._hub.handle(self._client, message)

    async def _log_in(self, nonce: Nonce) -> DeviceId:
        challenge = Challenge(VERSIONS, self._terms.relay, nonce)
        self.deliver(challenge)
        try:
            async with asyncio.timeout(self._terms.login_seconds):
                login = await self._receive()
        except TimeoutError as error:
            raise _Leave(Farewell.TOO_SLOW) from error
        if not isinstance(login, Login):
            raise _Leave(Farewell.BAD_MESSAGE)
        device = self._check_login(challenge, login)
        self.deliver(
            Welcome(
                device,
                max_envelope=Count(MAX_ENVELOPE),
                messages_per_second=Count(RELAY_MESSAGES_PER_SECOND),
                burst=Count(RELAY_BURST),
                room_seconds=Count(int(ROOM_LIFETIME)),
            )
        )
        return device

    def _check_login(self, challenge: Challenge, login: Login) -> DeviceId:
        if login.version not in VERSIONS:
            raise _Leave(Farewell.VERSION)
        try:
            check_signature(challenge, login)
        except TrustError as error:
            raise _Leave(Farewell.BAD_LOGIN) from error
        endpoint = self._endpoint
        if not is_own_host(login.host, endpoint.local_host, endpoint.local_port, self._terms.hosts):
            raise _Leave(Farewell.WRONG_HOST)
        device = device_id(login.identity_key)
        if not self._terms.policy.may_connect(device):
            raise _Leave(Farewell.FORBIDDEN)
        return device

    async def _receive(self) -> FromClient:
        frame = await self._socket.receive()
        if frame.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            raise _HungUp
        if frame.type is not WSMsgType.BINARY:
            raise _Leave(Farewell.BAD_MESSAGE)
        try:
            return decode_from_client(frame.data)
        except RemoteProtocolError as error:
            raise _Leave(Farewell.BAD_MESSAGE) from error

    async def _write(self) -> None:
        try:
            while (frame := await self._outbox.get()) is not None:
                async with asyncio.timeout(self._terms.stall_seconds):
                    await self._socket.send_bytes(frame)
                self._note_congestion()
            async with asyncio.timeout(self._terms.stall_seconds):
                await self._socket.close(code=WSCloseCode.GOING_AWAY)
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            # The reader wakes up, and what the client did not take is forgotten.
            self._outbox.end()
            self._endpoint.abort()
