# SPDX-License-Identifier: Apache-2.0
"""Reaching linked devices: the ladder of ways, the sealed offer and answer, the open wire. Layer: agent.

Specification: docs/specs/handoff-v2.md §8, docs/specs/transport.md §2. The ladder: mDNS, last good address, shared
relays, addresses given by hand. Every rung that answers is as good as another: who is reached is decided by keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from p2p_handoff.agent.ladder import Climb, Reached, Rung
from p2p_handoff.agent.relays import Relays
from p2p_handoff.agent.wire import Wire
from p2p_handoff.engines.base import Engine, EngineConnection, IceServer
from p2p_handoff.errors import (
    EngineError,
    HandoffError,
    RejectedError,
    RemoteProtocolError,
    TimedOutError,
    TrustError,
    UnreachableError,
    VersionError,
)
from p2p_handoff.ids import DeviceId, Entropy, TxnId, new_txn_id
from p2p_handoff.limits import ICE_DEADLINE
from p2p_handoff.protocol.connection import PROTOCOL_VERSIONS, Parameters
from p2p_handoff.protocol.messages import Hello
from p2p_handoff.security.exchange import (
    ChannelKeys,
    EphemeralOffer,
    channel_keys,
    respond,
    transcript_hash,
)
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.offers import SdpAnswer, SdpOffer, SdpRefusal
from p2p_handoff.security.sealing import Envelope, EnvelopeKind, SeenEnvelopes, open_envelope, seal
from p2p_handoff.security.versions import common_version
from p2p_handoff.store.store import Store
from signaling.port import RelayPort

log = logging.getLogger(__name__)

LOOK_THERE = "look there whether its agent runs and whether this device is still linked: handoff peers"
NO_PATH = (
    "it answered, but nothing passes between the devices: where routers translate addresses set 'stun', or for the "
    "strict ones 'turn', in the configuration of both, or bring them into one network"
)
"""Said where signaling works and WebRTC finds no way: address translation, mostly."""
ANSWER_DEADLINE = 5.0
"""Seconds for the other device to answer an offer; it gathers candidates meanwhile."""


UNLINKED = "unlinked"
"""Reason of the refusal that a device hears which was unlinked."""
NO_WAY = "it is not on this network, and no relay knows it"

Failure = tuple[str, HandoffError]
"""The URL of a way, empty for a shared relay, and why it led nowhere."""


@dataclass(frozen=True, slots=True)
class Dialling:
    """What a dialer needs to know of the agent.

    Args:
        addresses: Relay URLs of a device as discovery sees them now, best first.
        manual: Relay URLs given by hand.
        hello: What this device says of itself.
        versions: Protocol versions spoken.
        seen: The highest counter that a device ever showed.
        is_clear: Whether what the peer showed in its Hello can be judged (docs/specs/ownership.md §7).
        opened: Called with every wire whose handshake is complete.
        is_linking: Whether a link is being made: a device that was unlinked may be coming back.
        dropped: Called with a linked device that says that it trusts this one no longer.
        clock: Unix seconds.
    """

    identity: Identity
    store: Store
    engine: Engine
    relays: Callable[[], Relays]
    addresses: Callable[[DeviceId], Sequence[str]]
    manual: Sequence[str]
    ice_servers: Sequence[IceServer]
    hello: Callable[[DeviceId], Hello]
    seen: Callable[[DeviceId], int]
    is_clear: Callable[[Wire], bool]
    opened: Callable[[Wire], None]
    is_linking: Callable[[], bool]
    dropped: Callable[[DeviceId], None]
    clock: Callable[[], float]
    entropy: Entropy
    versions: tuple[int, ...] = PROTOCOL_VERSIONS


@dataclass(frozen=True, slots=True)
class Meeting:
    """What an exchange of offer and answer settled.

    Args:
        peer: The other device.
        fingerprint: Of its certificate.
        keys: One per direction and channel.
        transcript: Hash over both envelopes.
        dialler: Whether this device made the offer.
        seen_before: The highest counter that the peer had shown when this device sealed its envelope.
    """

    peer: PublicIdentity
    fingerprint: bytes
    keys: ChannelKeys
    transcript: bytes
    dialler: bool
    seen_before: int


class Dialer:
    """Makes wires and keeps one per device."""

    def __init__(self, dialling: Dialling) -> None:
        self._d = dialling
        self._wires: dict[DeviceId, Wire] = {}
        self._dials: dict[DeviceId, asyncio.Task[Wire]] = {}
        self._answers: dict[TxnId, asyncio.Future[Envelope]] = {}
        self._seen = SeenEnvelopes()
        self._tasks: set[asyncio.Task[None]] = set()

    def wires(self) -> Sequence[Wire]:
        """All open wires."""
        return [wire for wire in self._wires.values() if wire.is_open]

    def wire(self, device: DeviceId) -> Wire | None:
        """The open wire to a device, if there is one."""
        wire = self._wires.get(device)
        return wire if wire is not None and wire.is_open else None

    async def connect(self, device: DeviceId, patience: float | None = None) -> Wire:
        """An open wire to a linked device.

        Args:
            device: Whom to reach.
            patience: Seconds until a relay must be reached; None for the ordinary deadline.

        Raises:
            TrustError: It is not linked, or what answers is not it.
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
            envelope = open_envelope(self._d.identity, self._remembered, data)
            self._seen.admit(envelope)
        except HandoffError as error:
            log.warning("an envelope that is of no use was handed in: %s", error)
            return
        if self._pinned(envelope.sender) is None:
            self._turn_away(port, sender, envelope)
            return
        if envelope.kind is EnvelopeKind.OFFER:
            self._spawn(self._answer(port, sender, envelope))
            return
        waiting = self._answers.get(envelope.txn)
        if waiting is not None and not waiting.done():
            waiting.set_result(envelope)

    def adopt(self, wire: Wire) -> None:
        """Keep a new wire. Of two dialled crosswise both sides keep the one that the lower id dialled.

        One to a device that has started anew takes the place of what was open to it before. A wire that cannot be kept
        is closed: left open without a listener, it would answer every ping and no message.
        """
        try:
            self._adopt(wire)
        except BaseException:
            self._spawn(wire.close("the connection could not be taken up"))
            raise

    def _adopt(self, wire: Wire) -> None:
        if self._pinned(wire.peer) is None:
            self._spawn(wire.close("the devices are not linked any more"))
            return
        if not self._d.is_clear(wire):
            self._spawn(wire.close("a later state was shown on another connection; connect again"))
            return
        known = self.wire(wire.peer)
        if known is not None and known is not wire:
            loser = self._loser(known, wire)
            self._spawn(loser.close("another connection to the same device is kept"))
            if loser is wire:
                return
        self._wires[wire.peer] = wire
        self._d.opened(wire)

    async def close(self) -> None:
        """Close all wires and end all dials."""
        for dial in self._dials.values():
            dial.cancel()
        await asyncio.gather(*self._dials.values(), return_exceptions=True)
        await self._close_wires()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close_wires()  # Also what an answer opened meanwhile.

    async def _close_wires(self) -> None:
        known = tuple(self._wires.values())
        await asyncio.gather(*(wire.close("the agent stops") for wire in known))
        # One that broke a moment ago has still to tell, and what it tells is looked up in the store.
        await asyncio.gather(*(wire.ended() for wire in known))

    async def hang_up(self, device: DeviceId, reason: str) -> None:
        """Close the wire to a device, if there is one."""
        wire = self.wire(device)
        if wire is not None:
            await wire.close(reason)
        self._seen.forget(device)

    # --- dialling -----------------------------------------------------------------------------------

    async def _dial(self, device: DeviceId, patience: float | None) -> Wire:
        public = self._pinned(device)
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

    async def _try(
        self, reached: Reached, public: PublicIdentity, failures: list[tuple[str, HandoffError]]
    ) -> Wire | None:
        """The wire that an offer on a reached relay led to; None, and a reason more, when it led nowhere."""
        device = public.device
        try:
            if reached.port is None:
                assert reached.error is not None
                raise reached.error
            # At the relay of another agent nobody is named: the way there is not encrypted.
            wire = await self._offer(reached.port, public, None if reached.url else device)
        except (UnreachableError, TimedOutError, RemoteProtocolError) as error:
            failures.append((reached.url, error))
            return None
        except RejectedError as error:
            if error.reason != UNLINKED:
                raise
            self._d.dropped(device)
            raise TrustError(
                "the other device does not trust this one any more", advice="link them again with 'handoff link'"
            ) from error
        self.adopt(wire)
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

    async def _offer(self, port: RelayPort, public: PublicIdentity, to: DeviceId | None) -> Wire:
        d = self._d
        connection = d.engine.connection(d.ice_servers)
        txn = new_txn_id(d.entropy)
        try:
            keys = EphemeralOffer.generate()
            sdp = await connection.create_offer()
            body = SdpOffer(sdp, d.engine.name, keys.public, d.versions).to_bytes()
            seen = d.seen(public.device)
            envelope = seal(d.identity, public, txn, 0, EnvelopeKind.OFFER, body)
            answer = await self._exchange(port, to, txn, envelope)
            if answer.sender != public.device:
                raise TrustError("another device answered")
            reply = _accepted_answer(answer)
            common_version(d.versions, reply.versions)
            transcript = transcript_hash(envelope, answer.raw)
            channel = channel_keys(keys.finish(reply.ephemeral), transcript, dialler=True)
            await connection.set_answer(reply.sdp)
            meeting = Meeting(public, reply.fingerprint, channel, transcript, dialler=True, seen_before=seen)
            return await self._open(connection, meeting)
        except BaseException:
            await connection.close()
            raise

    async def _exchange(self, port: RelayPort, to: DeviceId | None, txn: TxnId, envelope: bytes) -> Envelope:
        future: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._answers[txn] = future
        try:
            await port.send(to, envelope)
            async with asyncio.timeout(ANSWER_DEADLINE):
                answer = await future
        except TimeoutError:
            raise TimedOutError("it does not answer") from None
        finally:
            del self._answers[txn]
        return answer

    # --- answering ----------------------------------------------------------------------------------

    async def _answer(self, port: RelayPort, sender: DeviceId | None, envelope: Envelope) -> None:
        d = self._d
        public = self._pinned(envelope.sender)
        assert public is not None
        connection = d.engine.connection(d.ice_servers)
        try:
            offer = SdpOffer.from_bytes(envelope.body)
            common_version(d.versions, offer.versions)
            sdp = await connection.create_answer(offer.sdp)
            ephemeral, secrets = respond(offer.ephemeral)
            body = SdpAnswer(sdp, d.engine.name, ephemeral, d.versions).to_bytes()
            seen = d.seen(public.device)
            reply = seal(d.identity, public, envelope.txn, 0, EnvelopeKind.ANSWER, body)
            transcript = transcript_hash(envelope.raw, reply)
            keys = channel_keys(secrets, transcript, dialler=False)
            await port.send(sender, reply)
            meeting = Meeting(public, offer.fingerprint, keys, transcript, dialler=False, seen_before=seen)
            wire = await self._open(connection, meeting)
        except VersionError as error:
            await connection.close()
            await self._refuse(port, sender, public, envelope.txn, SdpRefusal("version", error.what[:200]))
        except HandoffError as error:
            log.warning("a dial by %s failed: %s", envelope.sender[:6], error)
            await connection.close()
        except BaseException:
            await connection.close()
            raise
        else:
            self.adopt(wire)

    def _turn_away(self, port: RelayPort, sender: DeviceId | None, envelope: Envelope) -> None:
        """A device that was unlinked dials: it is told, sealed to its own key, so that it need not go on dialling."""
        public = self._remembered(envelope.sender)
        if public is not None and envelope.kind is EnvelopeKind.OFFER and not self._d.is_linking():
            refusal = SdpRefusal(UNLINKED, "the devices are not linked any more")
            self._spawn(self._refuse(port, sender, public, envelope.txn, refusal))

    async def _refuse(
        self, port: RelayPort, sender: DeviceId | None, public: PublicIdentity, txn: TxnId, refusal: SdpRefusal
    ) -> None:
        log.warning("a dial by %s was refused: %s", public.device[:6], refusal.text)
        body = refusal.to_bytes()
        with contextlib.suppress(HandoffError):
            await port.send(sender, seal(self._d.identity, public, txn, 0, EnvelopeKind.REFUSAL, body))

    # --- both ---------------------------------------------------------------------------------------

    async def _open(self, connection: EngineConnection, meeting: Meeting) -> Wire:
        try:
            async with asyncio.timeout(ICE_DEADLINE + 1):
                await connection.wait_open()
        except TimeoutError:
            raise TimedOutError("the connection could not be opened in time", advice=NO_PATH) from None
        except EngineError as error:
            raise UnreachableError(error.what, advice=NO_PATH) from error
        if connection.remote_fingerprint() != meeting.fingerprint:
            raise TrustError("the certificate of the connection is not the one in the sealed offer")
        parameters = Parameters(
            identity=self._d.identity,
            peer=meeting.peer,
            keys=meeting.keys,
            transcript=meeting.transcript,
            dialler=meeting.dialler,
            hello=self._d.hello(meeting.peer.device),
            max_message=connection.max_message_size,
        )
        wire = Wire(connection, parameters, meeting.peer.device, self._d.engine.name, seen_before=meeting.seen_before)
        await wire.open()
        return wire

    def _pinned(self, device: DeviceId) -> PublicIdentity | None:
        link = self._d.store.links.get(device)
        return None if link is None else PublicIdentity.from_bytes(link.public)

    def _remembered(self, device: DeviceId) -> PublicIdentity | None:
        """The keys of a device that is, or was, linked."""
        former = self._d.store.links.former(device)
        return self._pinned(device) if former is None else PublicIdentity.from_bytes(former.link.public)

    def _loser(self, known: Wire, fresh: Wire) -> Wire:
        if known.hello is not None and fresh.hello is not None and known.hello.instance != fresh.hello.instance:
            return known  # The other device has started anew: nobody is at the end of the older one.
        if known.dialler == fresh.dialler:
            return known  # The same side dialled again: it has lost the older one.
        i_am_lower = self._d.identity.device < fresh.peer
        return known if fresh.dialler is i_am_lower else fresh

    def _dialled(self, device: DeviceId, done: asyncio.Task[Wire]) -> None:
        self._dials.pop(device, None)
        if not done.cancelled():
            done.exception()  # Whoever awaited it has it; nobody may be left.

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.asynccontextmanager
async def _present_at(port: RelayPort, device: DeviceId) -> AsyncIterator[RelayPort]:
    if device not in await port.presence([device]):
        raise UnreachableError("the device is not connected to it")
    yield port


def _reason(url: str, error: HandoffError) -> str:
    """Why a rung of the ladder failed, for people."""
    place = url.removeprefix("ws://").removesuffix("/v1") or "the shared relay"
    return error.what if place in error.what else f"{place}: {error.what}"


def _accepted_answer(envelope: Envelope) -> SdpAnswer:
    if envelope.kind is EnvelopeKind.ANSWER:
        return SdpAnswer.from_bytes(envelope.body)
    if envelope.kind is not EnvelopeKind.REFUSAL:
        raise RemoteProtocolError("an offer was answered by another offer")
    refusal = SdpRefusal.from_bytes(envelope.body)
    if refusal.reason == "version":
        raise VersionError(f"the other device refused: {refusal.text}", advice="update the older of the two")
    raise RejectedError(f"the other device refused: {refusal.text}", reason=refusal.reason)
