# SPDX-License-Identifier: Apache-2.0
"""What an agent reaches others by, behind one small interface; and the real thing: sockets. Layer: agent.

An agent listens with its embedded relay, visits the relays of others and looks around by mDNS. Everything else about
who is reached is decided in relays.py, surroundings.py and dialer.py, whatever network they are given.
Specification: docs/architecture.md, docs/specs/signaling.md §9.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from p2p_handoff.discovery.announcement import Announcement, Sighting, Stranger
from p2p_handoff.discovery.mdns import Discovery
from p2p_handoff.discovery.veil import Acquaintances
from p2p_handoff.errors import UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.rendezvous.client import RelayClient
from signaling.login import LOGIN_LABEL
from signaling.port import RelayPort
from signaling.relay import Relay

LOGIN_CONTEXT = b"relay-login"
"""What a signature over a relay's challenge is for."""
_PORTS_TRIED: Final = 8
"""Numbers that are tried for a port that is free of IPv4 and of IPv6, one after the other."""


class Lookout(Protocol):
    """Who is in sight; ``discovery.mdns.Discovery`` is the real one."""

    @property
    def sightings(self) -> Mapping[DeviceId, Sighting]:
        """The devices in sight now."""

    def claims(self, device: DeviceId) -> Sequence[Sighting]:
        """All that claim to be a device now, the likeliest first."""

    @property
    def rooms(self) -> Sequence[Sighting | Stranger]:
        """Who shows an open room now."""

    @property
    def problem(self) -> str | None:
        """Why devices may not be found, in words; None while all is well."""

    async def start(self, announcement: Announcement | None, known: Acquaintances) -> None:
        """Begin to look, and to advertise."""

    async def update(self, announcement: Announcement | None, known: Acquaintances) -> None:
        """Advertise something else from now on, or recognise others."""

    def look(self) -> None:
        """Ask everybody anew what they announce, naming nobody."""

    async def close(self) -> None:
        """Take the announcement back and look no longer."""


class Listening(Protocol):
    """An embedded relay that others can visit."""

    @property
    def port(self) -> int:
        """TCP port."""

    async def close(self) -> None:
        """Listen no longer."""


class Network(ABC):
    """What one agent reaches others by."""

    @abstractmethod
    async def listen(self, relay: Relay, port: int) -> Listening:
        """Let others visit this agent's relay.

        Args:
            relay: The embedded relay.
            port: TCP port, 0 for any free one.

        Raises:
            UsageError: The port is taken.
        """

    @abstractmethod
    def visit(self, url: str, key: Ed25519PrivateKey) -> AbstractAsyncContextManager[RelayPort]:
        """Log in at a relay for a while.

        Args:
            url: Of the relay.
            key: Logs in; at the relay of another agent one that is used for this visit only.

        Raises:
            UnreachableError, TimedOutError, TrustError, RemoteProtocolError: On entering, as ``RelayClient.connect``.
        """

    @abstractmethod
    def lookout(self, found: Callable[[Sighting], None], lost: Callable[[DeviceId], None]) -> Lookout:
        """What looks around; it is started by whoever asked for it."""


class Sockets(Network):
    """The real network: TCP, WebSockets, multicast DNS."""

    @override
    async def listen(self, relay: Relay, port: int) -> Listening:
        runner = web.AppRunner(relay.bare_application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        return _Served(runner, await _bind(runner, port))

    @override
    def visit(self, url: str, key: Ed25519PrivateKey) -> AbstractAsyncContextManager[RelayPort]:
        return RelayClient.connect(
            url, key.public_key().public_bytes_raw(), lambda message: key.sign(LOGIN_LABEL + message)
        )

    @override
    def lookout(self, found: Callable[[Sighting], None], lost: Callable[[DeviceId], None]) -> Lookout:
        return Discovery(found, lost)


class _Served:
    """A relay behind a TCP port on all addresses."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    async def close(self) -> None:
        await self._runner.cleanup()


async def _bind(runner: web.AppRunner, port: int) -> int:
    try:
        return await (_listen_at(runner, port) if port else _listen_anywhere(runner))
    except OSError as error:
        await runner.cleanup()
        raise UsageError(
            f"port {port} for the embedded relay cannot be used: {error.strerror}", advice="choose another one"
        ) from None


async def _listen_at(runner: web.AppRunner, port: int) -> int:
    site = web.TCPSite(runner, None, port, reuse_address=True)
    try:
        await site.start()
    except OSError:
        await site.stop()
        raise
    return port


async def _listen_anywhere(runner: web.AppRunner) -> int:
    """Listen at a free port, the same one of IPv4 and IPv6: peers are told one."""
    for tries_left in reversed(range(_PORTS_TRIED)):
        site = web.TCPSite(runner, None, 0, reuse_address=True)
        await site.start()
        numbers = {int(address[1]) for address in runner.addresses}
        if len(numbers) == 1:
            return numbers.pop()
        await site.stop()
        try:
            return await _listen_at(runner, min(numbers))
        except OSError:  # A free number of the one need not be free of the other.
            if not tries_left:
                raise
    raise AssertionError
