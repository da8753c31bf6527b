# SPDX-License-Identifier: Apache-2.0
"""Unknown key share (RFC 8844): who is linked with two devices connects them with each other in its own name."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from p2p_handoff.agent import sealed_offers
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId, TxnId
from p2p_handoff.security.exchange import EphemeralOffer, respond
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.security.offers import SdpAnswer, SdpOffer
from p2p_handoff.security.sealing import Envelope, EnvelopeKind, open_envelope, seal
from p2p_handoff.store.records import LinkedDevice
from signaling.port import RelayPort
from tests.agent.devices import introduce
from tests.attack.attack import Attack, Seen, hold
from tests.attack.scene import Scene, scene


@dataclass(slots=True)
class Middle:
    """The intruder, who passes on in its own name what the two devices send it.

    Args:
        agent: Linked with both.
        other: Whom what the victim sends is passed on to.
        own_offer: Whether the keys of the offer are its own.
        own_answer: Whether the keys of the answer are its own.
    """

    agent: Agent
    other: Agent
    own_offer: bool
    own_answer: bool
    passed: int = 0
    _back: dict[TxnId, tuple[RelayPort, DeviceId | None, Envelope]] = field(default_factory=dict)
    _visits: set[asyncio.Task[None]] = field(default_factory=set)

    def arrived(self, port: RelayPort, sender: DeviceId | None, data: bytes) -> None:
        """An envelope for the intruder."""
        envelope = open_envelope(self.agent.identity, self.agent.parts.dialer._d.remembered, data)
        deed = self._offer(port, sender, envelope) if envelope.kind is EnvelopeKind.OFFER else self._answer(envelope)
        task = asyncio.create_task(deed)
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    async def close(self) -> None:
        """Pass nothing on any more."""
        for task in tuple(self._visits):
            task.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _offer(self, port: RelayPort, sender: DeviceId | None, envelope: Envelope) -> None:
        self._back[envelope.txn] = (port, sender, envelope)
        offer = SdpOffer.from_bytes(envelope.body)
        if self.own_offer:
            offer = replace(offer, ephemeral=EphemeralOffer.generate().public)
        sealed = self._sealed(self.other.identity.public, envelope.txn, EnvelopeKind.OFFER, offer.to_bytes())
        relays = self.agent.parts.dialer._d.relays()
        async with relays.visit(f"ws://127.0.0.1:{self.other.port}/v1") as there:
            await there.send(None, sealed)
            await asyncio.Event().wait()  # The answer comes by this way.

    async def _answer(self, envelope: Envelope) -> None:
        port, sender, offer = self._back[envelope.txn]
        answer = SdpAnswer.from_bytes(envelope.body)
        if self.own_answer:
            answer = replace(answer, ephemeral=respond(SdpOffer.from_bytes(offer.body).ephemeral)[0])
        victim = self.agent.parts.dialer._d.pinned(offer.sender)
        assert victim is not None
        await port.send(sender, self._sealed(victim, envelope.txn, EnvelopeKind.ANSWER, answer.to_bytes()))
        self.passed += 1

    def _sealed(self, to: PublicIdentity, txn: TxnId, kind: EnvelopeKind, body: bytes) -> bytes:
        return seal(self.agent.identity, to, txn, 0, kind, body)


@contextmanager
def _opened_at(agent: Agent) -> Iterator[list[DeviceId]]:
    """With whom an agent's connections are that open meanwhile, as it believes."""
    opened: list[DeviceId] = []
    honest = agent.parts.dialer._open.adopt

    def adopt(wire: Wire) -> None:
        opened.append(wire.peer)
        honest(wire)

    agent.parts.dialer._open.adopt = adopt  # type: ignore[method-assign]  # an ear
    try:
        yield opened
    finally:
        agent.parts.dialer._open.adopt = honest  # type: ignore[method-assign]  # as it was


async def _connected(stage: Scene) -> list[str]:
    """Whom the victim believes to be connected with."""
    return [peer["name"] for peer in (await stage.victim.call("peers"))["peers"] if peer["connected"]]


async def _passed_on(stage: Scene, other: Agent, *, own_offer: bool, own_answer: bool) -> None:
    """The victim dials the intruder, who connects it with the other device."""
    middle = Middle(stage.intruder, other, own_offer, own_answer)
    private = (await stage.victim.session("private"))["session"]
    honest = stage.intruder.parts.dialer.envelope_arrived
    how = f"own keys in the offer: {own_offer}, in the answer: {own_answer}"
    relays = stage.intruder.parts.dialer._d.relays()
    relays._on_envelope = middle.arrived
    try:
        with _opened_at(other) as opened:
            with contextlib.suppress(HandoffError):
                report = await stage.victim.call("to", peer="intruder", session=private)
                hold(report["outcome"] != "done", f"a session was handed to nobody knows whom ({how})")
            hold(middle.passed, f"nothing was passed on ({how})")
            hold(not await _connected(stage) and not opened, f"a connection opened ({how})")
    finally:
        relays._on_envelope = honest
        await middle.close()


async def _foreign_keys(stage: Scene) -> int:
    """A stranger dials the victim in the place of the intruder, then the intruder what it takes for the victim."""
    intruder, honest = stage.intruder, stage.intruder.identity
    dials = 0
    for identity in (Identity.generate(), Identity.generate()):
        object.__setattr__(intruder.parts.dialer._d, "identity", identity)
        with contextlib.suppress(HandoffError):
            await intruder.parts.dialer.connect(stage.device)
            hold(False, "a connection opened with keys that are not those of the link")
        dials += 1
    object.__setattr__(intruder.parts.dialer._d, "identity", honest)
    known = intruder.store.links.get(stage.device)
    assert known is not None
    other = Identity.generate().public
    intruder.store.links.add(LinkedDevice(known.device, other.to_bytes(), known.name, known.kind, time.time()))
    with contextlib.suppress(HandoffError):
        await intruder.parts.dialer.connect(stage.device)
        hold(False, "a connection opened with a device that has other keys than are pinned")
    intruder.store.links.add(known)
    return dials + 1


async def play(root: Path) -> Seen:
    """Every mixture of passed on and own keys, keys of nobody, and in the end an honest dial."""
    sealed_offers.ANSWER_DEADLINE = 1.0  # in this process alone
    mixtures = list(itertools.product((False, True), repeat=2))
    async with scene(root) as stage:
        other = await stage.devices.start("other")
        introduce(stage.intruder, other, LinkKind.OWN)
        for own_offer, own_answer in mixtures:
            await _passed_on(stage, other, own_offer=own_offer, own_answer=own_answer)
        dials = await _foreign_keys(stage)
        await (await stage.wire()).close()
        await stage.check_untouched()
    return Seen(
        f"{len(mixtures)} ways to connect two devices that take each other for a third, {dials} dials with foreign "
        "keys: 0 connections; an honest dial opens one"
    )


ATTACKS: Final = (
    Attack(
        "unknown-key-share",
        "linked device, stranger",
        "passes the sealed offer of one device on to another one in its own name; dials with keys of its own",
        "0 connections, and no session leaves",
        play,
    ),
)
