# SPDX-License-Identifier: Apache-2.0
"""Reaching linked devices: the ladder of ways, and an offer on each that leads somewhere. Layer: agent.

Specification: docs/specs/handoff-v2.md §8, docs/specs/transport.md §2. The ladder: mDNS, last good address, shared
relays, addresses given by hand. Every rung that answers is as good as another: who is reached is decided by keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any

from p2p_handoff.agent.dialling import Dialling
from p2p_handoff.agent.ladder import Climb, Reached, Rung
from p2p_handoff.agent.open_wires import OpenWires
from p2p_handoff.agent.sealed_offers import NO_PATH, SealedOffers
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import (
    HandoffError,
    RejectedError,
    RemoteProtocolError,
    TimedOutError,
    TrustError,
    UnreachableError,
    VersionError,
)
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import MAX_ANSWERING
from p2p_handoff.security.identity import PublicIdentity
from p2p_handoff.security.offers import SdpRefusal
from p2p_handoff.security.sealing import Envelope, EnvelopeKind, SeenEnvelopes, open_envelope
from signaling.port import RelayPort

log = logging.getLogger(__name__)

LOOK_THERE = "look there whether its agent runs and whether this device is still linked: handoff peers"
UNLINKED = "unlinked"
"""Reason of the refusal that a device hears which was unlinked."""
Failure = tuple[str, HandoffError]
"""The URL of a way, empty for a shared relay, and why it led nowhere."""


class Dialer:
    """Makes wires to linked devices, and takes those that they make."""

    def __init__(self, dialling: Dialling) -> None:
        self._d = dialling
        self._open = OpenWires(dialling, self._spawn)
        self._offers = SealedOffers(dialling)
        self._dials: dict[DeviceId, asyncio.Task[Wire]] = {}
        self._seen = SeenEnvelopes()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering: Counter[DeviceId] = Counter()

    def wires(self) -> Sequence[Wire]:
        """All open wires."""
        return self._open.all()

    def wire(self, device: DeviceId) -> Wire | None:
        """The open wire to a device, if there is one."""
        return self._open.get(device)

    async def connect(self, device: DeviceId, patience: float | None = None) -> Wire:
        """An open wire to a linked device.

        Args:
            device: Whom to reach.
            patience: Seconds until a relay must be reached; None for the ordinary deadline.

        Raises:
            TrustError: It is not linked, or what answers is not it, on each way.
            VersionError: No protocol version in common.
            UnreachableError: Every rung of the ladder failed; the sentence names the last reason of each.
        """
        wire = self.wire(device)
        if wire is not None:
            return wire
        dial = self._dials.get(device)
        if dial is None:
            dial = asyncio.create_task(self._dial(device, patience), name=f"dial {device[:6]}")
            self._dials[device] = dial
            dial.add_done_callback(lambda done: self._dialled(device, done))
        return await asyncio.shield(dial)

    def envelope_arrived(self, port: RelayPort, sender: DeviceId | None, data: bytes) -> None:
        """An envelope came through a relay.

        Args:
            port: Where it came in.
            sender: Where an answer goes: what the relay says, and no more than that.
            data: The envelope; who sealed it is inside.
        """
        try:
            envelope = open_envelope(self._d.identity, self._d.remembered, data)
            self._seen.admit(envelope)
        except HandoffError as error:
            log.warning("an envelope that is of no use was handed in: %s", error)
            return
        if self._d.pinned(envelope.sender) is None:
            self._turn_away(port, sender, envelope)
            return
        if envelope.kind is EnvelopeKind.OFFER:
            self._take_offer(port, sender, envelope)
            return
        self._offers.answer_arrived(envelope)

    async def close(self) -> None:
        """Close all wires and end all dials."""
        for dial in self._dials.values():
            dial.cancel()
        await asyncio.gather(*self._dials.values(), return_exceptions=True)
        await self._open.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._open.close()  # Also what an answer opened meanwhile.

    async def hang_up(self, device: DeviceId, reason: str) -> None:
        """Close the wire to a device, if there is one."""
        wire = self.wire(device)
        if wire is not None:
            await wire.close(reason)
        self._seen.forget(device)

    # --- dialling -----------------------------------------------------------------------------------

    async def _dial(self, device: DeviceId, patience: float | None) -> Wire:
        public = self._d.pinned(device)
        if public is None:
            raise TrustError("the device is not linked with this one", advice="link them with 'handoff link'")
        failures: list[Failure] = []
        if patience is None:  # Else the next attempt is near, and a relay that is back begins it.
            await self._d.relays().wait_shared(0.5)
        climb = Climb(self._ladder(device), patience)
        try:
            async for reached in climb:
                wire = await self._try(reached, public, failures)
                if wire is not None:
                    return wire
        finally:
            self._spawn(climb.leave())  # A relay that is slow to say goodbye delays nobody.
        if failures and all(isinstance(error, TrustError) for _, error in failures):
            raise failures[0][1]
        link = self._d.store.links.get(device)
        name = link.name if link is not None else "the device"
        reasons = (
            ", ".join(_reason(url, error) for url, error in failures)
            or "it is not on this network, and no relay knows it"
        )
        raise UnreachableError(
            f"{name} cannot be reached ({reasons})",
            advice=NO_PATH if any(error.advice == NO_PATH for _, error in failures) else LOOK_THERE,
        )

    async def _try(self, reached: Reached, public: PublicIdentity, failures: list[Failure]) -> Wire | None:
        """The wire that an offer on a reached relay led to; None, and a reason more, when it led nowhere."""
        device = public.device
        if reached.port is None:
            failures.append((reached.url, _expected(reached.error)))
            return None
        try:
            # At the relay of another agent nobody is named: the way there is not encrypted.
            wire = await self._offers.offer(reached.port, public, None if reached.url else device)
        except VersionError:
            raise  # The device's own signed word: it says the same on every way.
        except (UnreachableError, TimedOutError, RemoteProtocolError, TrustError) as error:
            # Whoever stands in one way forges or holds up what goes there: that must not close the others.
            failures.append((reached.url, error))
            return None
        except RejectedError as error:
            if error.reason != UNLINKED:
                raise
            self._d.dropped(device)
            raise TrustError(
                "the other device does not trust this one any more", advice="link them again with 'handoff link'"
            ) from error
        self._open.adopt(wire)
        self._remember(device, reached.url)
        if (kept := self.wire(device)) is None:
            failures.append((reached.url, UnreachableError("the connection was given up at once")))
        return kept

    def _remember(self, device: DeviceId, url: str) -> None:
        """Note what led to a device. It is a hint: a full disk must not cost the connection that it led to."""
        if url:
            try:
                self._d.store.addresses.remember(device, url, at=self._d.clock())
            except HandoffError as error:
                log.warning("the address of %s was not noted: %s", device[:6], error)

    def _ladder(self, device: DeviceId) -> Iterator[Rung]:
        """Ways that may lead to a device, best first."""
        relays = self._d.relays()
        direct = dict.fromkeys((*self._d.addresses(device), *self._d.store.addresses.recent(device)))
        for url in direct:
            yield Rung(url, 0, relays.visit(url))
        for port in relays.shared():
            yield Rung("", 1, _present_at(port, device))
        for url in self._d.manual:
            if url not in direct:
                yield Rung(url, 2, relays.visit(url))

    def _dialled(self, device: DeviceId, done: asyncio.Task[Wire]) -> None:
        self._dials.pop(device, None)
        if not done.cancelled():
            done.exception()  # Whoever awaited it has it; nobody may be left.

    # --- being dialled ------------------------------------------------------------------------------

    def _take_offer(self, port: RelayPort, sender: DeviceId | None, offer: Envelope) -> None:
        """Answer an offer, unless its device has many already that it does not go on with: each costs sockets."""
        device = offer.sender
        if self._answering[device] >= MAX_ANSWERING:
            log.warning("an offer of %s was not answered: %d of its offers wait", device[:6], MAX_ANSWERING)
            return
        self._answering[device] += 1
        self._spawn(self._answer(port, sender, offer)).add_done_callback(lambda _: self._answered(device))

    def _answered(self, device: DeviceId) -> None:
        self._answering[device] -= 1
        if not self._answering[device]:
            del self._answering[device]

    async def _answer(self, port: RelayPort, sender: DeviceId | None, offer: Envelope) -> None:
        wire = await self._offers.answer(port, sender, offer)
        if wire is not None:
            self._open.adopt(wire)

    def _turn_away(self, port: RelayPort, sender: DeviceId | None, envelope: Envelope) -> None:
        """A device that was unlinked dials: it is told, sealed to its own key, so that it need not go on dialling."""
        public = self._d.remembered(envelope.sender)
        if public is not None and envelope.kind is EnvelopeKind.OFFER and not self._d.is_linking():
            refusal = SdpRefusal(UNLINKED, "the devices are not linked any more")
            self._spawn(self._offers.refuse(port, sender, public, envelope.txn, refusal))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@contextlib.asynccontextmanager
async def _present_at(port: RelayPort, device: DeviceId) -> AsyncIterator[RelayPort]:
    if device not in await port.presence([device]):
        raise UnreachableError("the device is not connected to it")
    yield port


def _expected(error: Exception | None) -> HandoffError:
    """Why a way led nowhere; what was not foreseen is raised."""
    if isinstance(error, HandoffError):
        return error
    assert error is not None
    raise error


def _reason(url: str, error: HandoffError) -> str:
    """Why a rung of the ladder failed, for people."""
    place = url.removeprefix("ws://").removesuffix("/v1") or "the shared relay"
    return error.what if place in error.what else f"{place}: {error.what}"
