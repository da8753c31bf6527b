# SPDX-License-Identifier: Apache-2.0
"""A relay reached over a WebSocket. Layer: I/O ring, aiohttp. Specification: docs/specs/signaling.md §2, §3.

``async with RelayClient.connect(url, identity_key, sign) as client`` dials and logs in; then use the
methods of ``signaling.port.RelayPort``. Whatever the relay or the network does ends in a typed error or in
``client.closed``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, Self, TypeVar

import aiohttp
from aiohttp import AddrInfoType, WSMsgType, hdrs
from typing_extensions import override

from p2p_handoff.errors import (
    HandoffError,
    RemoteProtocolError,
    TimedOutError,
    TrustError,
    UnreachableError,
    VersionError,
)
from p2p_handoff.ids import DeviceId, device_id
from p2p_handoff.limits import MAX_RELAY_MESSAGE, RELAY_CONNECT_DEADLINE, RELAY_HEARTBEAT, RELAY_SEGMENT
from p2p_handoff.rendezvous.address import RelayAddress, parse_relay_url
from signaling.login import VERSIONS, answer
from signaling.messages import Challenge, Farewell, FromRelay, Goodbye, Request, Welcome
from signaling.port import RelayPort
from signaling.refusals import FAREWELLS
from signaling.wire import decode_from_relay, encode

_M = TypeVar("_M", Challenge, Welcome)
Sign = Callable[[bytes], bytes]
"""Signs ``LOGIN_LABEL + message``; with an identity: ``lambda m: identity.sign(b"relay-login", m)``."""

_FAREWELL_ERRORS: Final[dict[Farewell, type[HandoffError]]] = {
    Farewell.BAD_LOGIN: TrustError,
    Farewell.WRONG_HOST: TrustError,
    Farewell.FORBIDDEN: TrustError,
    Farewell.VERSION: VersionError,
}
_CLOSE_SECONDS: Final = 0.5
"""What a relay gets to answer the closing of the WebSocket."""


class RelayClient(RelayPort):
    """A device's connection to a relay on the network."""

    def __init__(self, device: DeviceId, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__(device)
        self._socket = socket

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, identity_key: bytes, sign: Sign, *, deadline: float = RELAY_CONNECT_DEADLINE
    ) -> AsyncIterator[Self]:
        """Dial a relay and log in; the connection ends with the context.

        Args:
            url: ``ws://host:port/v1`` or ``wss://…``; IPv6 literals in brackets.
            identity_key: Raw Ed25519 public key, 32 bytes; a temporary one will do for rooms.
            sign: Signs with that key.
            deadline: Seconds until the login must be through.

        Raises:
            UsageError: The URL is not one of a relay.
            UnreachableError: Nobody listens there, or the relay is full or shutting down.
            TimedOutError: No login within the deadline.
            TrustError: The certificate is not valid, or the relay did not accept the login.
            VersionError: Relay and client have no version in common.
            RemoteProtocolError: What answers there is not a relay.
        """
        address = parse_relay_url(url)
        connector = aiohttp.TCPConnector(socket_factory=_short_segments)
        # The library's name and version would tell devices apart on a network where nothing else does.
        quiet = aiohttp.ClientSession(connector=connector, skip_auto_headers=(hdrs.USER_AGENT,))
        async with quiet as session, AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(deadline):
                    web_socket = await _dial(session, address)
                    stack.push_async_callback(web_socket.close)
                    device = await _log_in(web_socket, address, identity_key, sign)
            except TimeoutError as error:
                raise TimedOutError(f"the relay at {address.label} did not answer within {deadline:g} s") from error
            client = cls(device, web_socket)
            reader = asyncio.create_task(client._read())
            try:
                yield client
            finally:
                await client.close()
                await reader

    @override
    async def _transmit(self, request: Request) -> None:
        if self.closed.is_set():
            raise UnreachableError(self.close_reason)
        try:
            await self._socket.send_bytes(encode(request))
        except (ConnectionError, aiohttp.ClientError) as error:
            raise UnreachableError("the connection to the relay broke") from error

    @override
    async def close(self) -> None:
        self._lost("this side closed the connection")
        await self._socket.close()

    async def _read(self) -> None:
        try:
            while not self.closed.is_set():
                self._arrived(await _receive(self._socket))
        except HandoffError as error:
            self._lost(error.what)
        await self._socket.close()


def _short_segments(found: AddrInfoType) -> socket.socket:
    """A socket that neither sends nor asks for segments that some paths swallow."""
    made = socket.socket(family=found[0], type=found[1], proto=found[2])
    with suppress(OSError):  # a system without the option works on every path but those
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, RELAY_SEGMENT)
    return made


async def _dial(session: aiohttp.ClientSession, address: RelayAddress) -> aiohttp.ClientWebSocketResponse:
    try:
        return await session.ws_connect(
            address.url,
            max_msg_size=MAX_RELAY_MESSAGE,
            heartbeat=RELAY_HEARTBEAT,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
        )
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
        raise TrustError(f"the relay at {address.label} has no valid certificate: {error}") from error
    except aiohttp.WSServerHandshakeError as error:
        raise _upgrade_error(address, error.status) from error
    except (aiohttp.ClientConnectionError, OSError) as error:
        raise UnreachableError(f"the relay at {address.label} cannot be reached: {_reason(error)}") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise RemoteProtocolError(f"what answers at {address.label} is not a relay") from error


def _reason(error: Exception) -> str:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    # asyncio puts a text of its own into strerror; resolver errors have negative numbers and a good text.
    if isinstance(inner, OSError) and (inner.errno or 0) > 0:
        return os.strerror(inner.errno or 0)
    return (inner.strerror if isinstance(inner, OSError) else None) or str(inner) or type(inner).__name__


def _upgrade_error(address: RelayAddress, status: int) -> HandoffError:
    if status in {429, 503}:
        return UnreachableError(f"the relay at {address.label} takes no more connections now (HTTP {status})")
    return RemoteProtocolError(f"what answers at {address.label} is not a relay (HTTP {status})")


async def _log_in(
    socket: aiohttp.ClientWebSocketResponse, address: RelayAddress, identity_key: bytes, sign: Sign
) -> DeviceId:
    challenge = await _expect(socket, Challenge)
    login = answer(challenge, address.label, identity_key, sign)
    if login is None:
        offered = ", ".join(str(version) for version in challenge.versions)
        raise VersionError(f"the relay speaks versions {offered}, this device {', '.join(map(str, VERSIONS))}")
    try:
        await socket.send_bytes(encode(login))
    except (ConnectionError, aiohttp.ClientError) as error:
        raise UnreachableError("the relay closed the connection during login") from error
    welcome = await _expect(socket, Welcome)
    if welcome.device != device_id(identity_key):
        raise RemoteProtocolError("the relay welcomed another device")
    return welcome.device


async def _expect(socket: aiohttp.ClientWebSocketResponse, kind: type[_M]) -> _M:
    message = await _receive(socket)
    if isinstance(message, Goodbye):
        error = _FAREWELL_ERRORS.get(message.reason, UnreachableError)
        raise error(FAREWELLS[message.reason])
    if not isinstance(message, kind):
        raise RemoteProtocolError("the relay does not keep to the order of the login")
    return message


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> FromRelay:
    frame = await socket.receive()
    if frame.type is WSMsgType.BINARY:
        return decode_from_relay(frame.data)
    if frame.type is WSMsgType.TEXT:
        raise RemoteProtocolError("the relay sent text where binary messages are expected")
    if isinstance(frame.data, aiohttp.WebSocketError):
        raise RemoteProtocolError(f"the relay broke the WebSocket protocol: {frame.data}")
    raise UnreachableError("the relay closed the connection")
