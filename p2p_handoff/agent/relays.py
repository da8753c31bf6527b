# SPDX-License-Identifier: Apache-2.0
"""All relays that an agent is logged in to, and its own. Layer: agent. Specification: docs/specs/signaling.md §9, §11.

The embedded relay serves this device alone; shared relays are kept connected for as long as the agent runs; another
agent's embedded relay is visited for one dial.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from p2p_handoff.agent.network import LOGIN_CONTEXT, Listening, Network
from p2p_handoff.ids import DeviceId
from p2p_handoff.rendezvous.persistent import Connected, EnvelopeArrived, Lost, PersistentRelay, RelayEvent
from p2p_handoff.security.identity import Identity
from signaling.local import LocalPort
from signaling.policy import EmbeddedPolicy
from signaling.port import RelayPort
from signaling.relay import EMBEDDED_NAME, Relay

log = logging.getLogger(__name__)

OnEnvelope = Callable[[RelayPort, DeviceId | None, bytes], None]


class Relays:
    """The relays of one agent.

    Args:
        identity: Logs in at the shared relays.
        network: Leads to relays, and others to this agent's own.
        shared: URLs of shared relays.
        on_envelope: Called for every envelope, with the port to answer on.
        on_change: Called when a shared relay comes or goes.
    """

    def __init__(
        self,
        identity: Identity,
        network: Network,
        shared: Sequence[str],
        on_envelope: OnEnvelope,
        on_change: Callable[[], None],
    ) -> None:
        self._identity = identity
        self._network = network
        self._on_envelope = on_envelope
        self._on_change = on_change
        self._embedded: LocalPort | None = None
        self._listening: Listening | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self.problems: dict[str, str] = {}
        """Why a shared relay is not connected, by URL."""
        self._persistent = [
            PersistentRelay(url, identity.public.identity_key, self._sign, self._relay_event) for url in shared
        ]

    async def start(self, port: int) -> int:
        """Listen with the embedded relay on all addresses and connect to the shared ones.

        Args:
            port: TCP port, 0 for any free one.

        Returns:
            The port in use.

        Raises:
            UsageError: The port is taken.
        """
        relay = Relay(EmbeddedPolicy(self._identity.device), name=EMBEDDED_NAME)
        self._listening = await self._network.listen(relay, port)
        self._embedded = relay.local_port(self._identity.device)
        self._tasks = [
            asyncio.create_task(self._read(self._embedded), name="embedded relay"),
            *(asyncio.create_task(relay.run(), name=f"relay {relay.url}") for relay in self._persistent),
        ]
        return self._listening.port

    async def close(self) -> None:
        """Leave all relays and stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._embedded is not None:
            await self._embedded.close()
        if self._listening is not None:
            await self._listening.close()

    @property
    def embedded(self) -> RelayPort:
        """The port to the relay inside this agent."""
        assert self._embedded is not None
        return self._embedded

    def shared(self) -> list[RelayPort]:
        """Ports to the shared relays that are connected now."""
        return [relay.client for relay in self._persistent if relay.is_connected]

    def hurry(self) -> None:
        """Somebody is urgently looked for: try the shared relays that are lost again now, if that is of any use."""
        for relay in self._persistent:
            relay.hurry()

    async def wait_shared(self, seconds: float) -> None:
        """Give the shared relays a moment to connect; returns at once when all are or there are none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not all(relay.is_connected for relay in self._persistent):
                    self._changed.clear()
                    await self._changed.wait()

    @contextlib.asynccontextmanager
    async def visit(self, url: str) -> AsyncIterator[RelayPort]:
        """Log in at another agent's relay for a while; its envelopes go to ``on_envelope``.

        The key is used once: what is said there is not encrypted, and the sealed envelope shows who sends it.

        Raises:
            UnreachableError, TimedOutError, TrustError, RemoteProtocolError: As RelayClient.connect.
        """
        async with self._network.visit(url, Ed25519PrivateKey.generate()) as client:
            reading = asyncio.create_task(self._read(client), name=f"visit {url}")
            try:
                yield client
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    def _sign(self, message: bytes) -> bytes:
        return self._identity.sign(LOGIN_CONTEXT, message)

    async def _read(self, port: RelayPort) -> None:
        async for sender, envelope in port.envelopes():
            self._on_envelope(port, sender, envelope)

    def _relay_event(self, event: RelayEvent) -> None:
        self._changed.set()
        match event:
            case Connected(url, _):
                self.problems.pop(url, None)
                log.info("connected to the relay %s", url)
                self._on_change()
            case Lost(url, reason, _):
                if self.problems.get(url) != reason:
                    log.warning("the relay %s is not connected: %s", url, reason)
                self.problems[url] = reason
                self._on_change()
            case EnvelopeArrived(url, sender, envelope):
                for relay in self._persistent:
                    if relay.url == url and relay.is_connected:
                        self._on_envelope(relay.client, sender, envelope)
