# SPDX-License-Identifier: Apache-2.0
"""Stays connected to one relay for as long as the agent wants it. Layer: I/O ring, asyncio.

Run ``run()`` as a task and cancel it to stop; events say when the relay comes, goes, or brings an envelope.
Specification: docs/specs/signaling.md §11.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from p2p_handoff.errors import HandoffError, TrustError, UnreachableError, UsageError
from p2p_handoff.ids import DeviceId, Entropy
from p2p_handoff.limits import RELAY_HURRY, RELAY_STABLE_AFTER
from p2p_handoff.rendezvous.address import parse_relay_url
from p2p_handoff.rendezvous.backoff import Backoff
from p2p_handoff.rendezvous.client import RelayClient, Sign
from signaling.messages import Farewell
from signaling.port import RelayPort
from signaling.refusals import FAREWELLS


@dataclass(frozen=True, slots=True)
class Connected:
    """The device is logged in at the relay, and reachable there."""

    url: str
    client: RelayPort


@dataclass(frozen=True, slots=True)
class Lost:
    """The relay is gone, or could not be reached."""

    url: str
    reason: str
    retry_in: float
    """Seconds until it is dialled again."""


@dataclass(frozen=True, slots=True)
class EnvelopeArrived:
    """An envelope for this device."""

    url: str
    sender: DeviceId | None
    """Who handed it in, as the relay says: what is sealed inside decides."""
    envelope: bytes


RelayEvent: TypeAlias = Connected | Lost | EnvelopeArrived


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What tests replace to be quick and certain."""

    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    entropy: Entropy = os.urandom


class PersistentRelay:
    """One relay, dialled again whenever it is lost.

    Args:
        url: As for ``RelayClient.connect``.
        identity_key: Raw Ed25519 public key, 32 bytes.
        sign: As for ``RelayClient.connect``.
        on_event: Called on the event loop for each event; must return quickly and not raise.
        surroundings: Clock, sleep and entropy.

    Raises:
        UsageError: The URL is not one of a relay.
    """

    def __init__(
        self,
        url: str,
        identity_key: bytes,
        sign: Sign,
        on_event: Callable[[RelayEvent], None],
        *,
        surroundings: Surroundings | None = None,
    ) -> None:
        parse_relay_url(url)
        self.url: Final = url
        self._identity_key = identity_key
        self._sign = sign
        self._on_event = on_event
        self._around = surroundings or Surroundings()
        self._backoff = Backoff(self._around.entropy)
        self._client: RelayPort | None = None
        self._hurried = asyncio.Event()
        self._hopeless = False
        """Trying again soon is of no use."""
        self._tried_at = 0.0

    @property
    def client(self) -> RelayPort:
        """The present connection.

        Raises:
            UnreachableError: There is none now.
        """
        if self._client is None:
            raise UnreachableError(f"the relay {self.url} is not connected")
        return self._client

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._client is not None

    def hurry(self) -> None:
        """End a pause, because somebody is urgently looked for; at most every RELAY_HURRY seconds.

        Not where the relay did not accept this device, or another agent with its identity is there.
        """
        if not self._hopeless and self._around.clock() - self._tried_at >= RELAY_HURRY:
            self._hurried.set()

    async def run(self) -> None:
        """Connect, and connect again; ends only by cancellation."""
        while True:
            self._hopeless = False
            self._tried_at = self._around.clock()
            reason = await self._attempt()
            pause = self._backoff.next()
            self._on_event(Lost(self.url, reason, pause))
            self._hurried.clear()
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._around.sleep(seconds)), asyncio.ensure_future(self._hurried.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _give_up_for_long(self) -> None:
        self._hopeless = True
        self._backoff.exhaust()

    async def _attempt(self) -> str:
        try:
            return await self._serve()
        except (TrustError, UsageError) as error:
            # A login that was refused once is refused again until somebody repairs something.
            self._give_up_for_long()
            return error.what
        except HandoffError as error:
            return error.what

    async def _serve(self) -> str:
        async with RelayClient.connect(self.url, self._identity_key, self._sign) as client:
            since = self._around.clock()
            self._client = client
            try:
                self._on_event(Connected(self.url, client))
                async for sender, envelope in client.envelopes():
                    self._on_event(EnvelopeArrived(self.url, sender, envelope))
            finally:
                self._client = None
        self._learn(client.close_reason, self._around.clock() - since)
        return client.close_reason

    def _learn(self, reason: str, lasted: float) -> None:
        if reason == FAREWELLS[Farewell.REPLACED]:
            # Two agents with one identity must not throw each other out in turns.
            self._give_up_for_long()
        elif lasted >= RELAY_STABLE_AFTER:
            self._backoff.reset()
