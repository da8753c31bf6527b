# SPDX-License-Identifier: Apache-2.0
"""A linked device that does not keep to the protocol gains nothing, and nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.ladder import Rung
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.sealed_offers import SealedOffers
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError, SealError, TrustError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId, new_session_id, new_txn_id
from p2p_handoff.limits import MAX_ANSWERING, OFFER_ITEM
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.admission import weight_of
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.security.sealing import Envelope, EnvelopeKind, seal
from p2p_handoff.session import chain as chains
from p2p_handoff.session.manifest import Manifest, Part, PartType, Secret, decode_manifest, encode_manifest
from p2p_handoff.session.signed import encode_signed
from p2p_handoff.session.statements import NONCE_BYTES
from p2p_handoff.testing.samples import conversation_lines
from signaling.port import RelayPort
from tests.agent.devices import Devices, Pair, fill, heard_by, introduce, tree, until
from tests.agent.test_wire import connected

FILES = {"main.py": b"print('hello')\n"}
GRANTING = (SourceState.FREEZING, SourceState.FROZEN)


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


@pytest.fixture
def talk(devices: Devices) -> Path:
    """A conversation on the laptop."""
    path = devices.path("laptop", "talk.jsonl")
    path.write_bytes(b"".join(conversation_lines(3)))
    return path


def lie(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Manifest], Manifest], states: tuple[SourceState, ...]
) -> None:
    """A source that sends another manifest than its own in some states."""
    honest = Outgoing._manifest

    def manifest(self: Outgoing) -> bytes:
        return encode_manifest(change(self._content.manifest)) if self.machine.state in states else honest(self)

    monkeypatch.setattr(Outgoing, "_manifest", manifest)


async def handed_over(agent: Agent, folder: Path | SessionId) -> Report:
    return await asyncio.wait_for(agent.to("desktop", folder), 10)


def still_primary(agent: Agent, session: str) -> bool:
    record = agent.store.sessions.get(SessionId(session))
    return record is not None and record.ownership.role.value == "primary"


# --- dialling ---------------------------------------------------------------------------------------


async def test_offers_that_a_device_does_not_go_on_with_are_bounded(
    two_agents: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    over, answering = asyncio.Event(), list[TxnId]()

    async def answer(_dialer: Dialer, _port: RelayPort, _sender: DeviceId | None, envelope: Envelope) -> None:
        answering.append(envelope.txn)
        await over.wait()

    monkeypatch.setattr(Dialer, "_answer", answer)

    def offer() -> None:
        sealed = seal(laptop.identity, desktop.identity.public, new_txn_id(os.urandom), 0, EnvelopeKind.OFFER, b"offer")
        desktop.parts.dialer.envelope_arrived(desktop.parts.dialer._d.relays().embedded, None, sealed)

    for _ in range(MAX_ANSWERING + 3):
        offer()
    await until(lambda: len(answering) == MAX_ANSWERING)
    over.set()
    await until(lambda: not desktop.parts.dialer._answering)
    assert len(answering) == MAX_ANSWERING
    offer()
    await until(lambda: len(answering) == MAX_ANSWERING + 1)


@pytest.mark.parametrize("error", [SealError("a frame does not open"), TrustError("another device answered")])
async def test_a_way_on_which_somebody_forges_does_not_close_the_next_one(
    two_agents: Pair, monkeypatch: pytest.MonkeyPatch, error: HandoffError
) -> None:
    laptop, desktop = two_agents
    honest, offers = Dialer._ladder, list[RelayPort]()
    monkeypatch.setattr(Dialer, "_ladder", lambda self, device: [way for _ in range(2) for way in honest(self, device)])
    offer = SealedOffers.offer

    async def forged_once(self: SealedOffers, port: RelayPort, *rest: Any) -> Wire:
        offers.append(port)
        if len(offers) == 1:
            raise error
        return await offer(self, port, *rest)

    monkeypatch.setattr(SealedOffers, "offer", forged_once)
    wire = await laptop.parts.dialer.connect(desktop.device)
    assert wire.is_open
    assert len(offers) == 2


async def test_where_somebody_forges_on_every_way_it_is_said(two_agents: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    laptop, desktop = two_agents

    async def forged(*_: Any) -> Wire:
        raise SealError("a frame does not open")

    monkeypatch.setattr(SealedOffers, "offer", forged)
    with pytest.raises(SealError, match="does not open"):
        await laptop.parts.dialer.connect(desktop.device)


async def test_a_connection_that_ends_at_another_certificate_is_not_used(
    two_agents: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    engine = laptop.parts.engine
    connection = engine.connection(())
    monkeypatch.setattr(type(connection), "remote_fingerprint", lambda _: bytes(32))
    await connection.close()
    with pytest.raises(TrustError, match="certificate"):
        await laptop.parts.dialer.connect(desktop.device)
    assert desktop.parts.dialer.wire(laptop.device) is None


@contextlib.asynccontextmanager
async def visit(*ports: RelayPort) -> AsyncIterator[RelayPort]:
    """A visit to a relay; where there is none, it does not let this device in."""
    if not ports:
        raise TrustError("the relay did not accept the login")
    yield ports[0]


async def test_a_relay_that_is_not_what_it_should_be_does_not_close_another_way(
    two_agents: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    honest = Dialer._ladder
    hostile = Rung("ws://hostile/v1", 0, visit())
    monkeypatch.setattr(Dialer, "_ladder", lambda self, device: [hostile, *honest(self, device)])
    assert (await laptop.parts.dialer.connect(desktop.device)).is_open


# --- sources ----------------------------------------------------------------------------------------


async def test_an_offer_cannot_reach_into_another_session(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    victim = await desktop.start([fill(devices.path("desktop", "private"), {"diary.txt": b"dear diary"})])
    lie(monkeypatch, lambda manifest: replace(manifest, session=victim.id), (SourceState.OFFERED, SourceState.COPYING))
    report = await handed_over(laptop, folder)
    assert report.outcome == "rejected"
    assert "another session" in report.text
    assert still_primary(laptop, report.session)
    assert still_primary(desktop, victim.id)
    assert tree(devices.path("desktop", "private")) == {"diary.txt": b"dear diary"}


async def test_large_offers_that_wait_are_bounded_for_each_device_and_what_is_answered_makes_room(
    two_people: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_people
    near, _ = await connected(two_people)
    answers = heard_by(laptop, msg.Reject)
    known = [weight_of(decode_manifest(listing(SessionId("a" * 26), count)), 0) for count in (1, 100)]
    assert known[1] - known[0] == 99 * OFFER_ITEM

    def offer(count: int) -> TxnId:
        txn, session = new_txn_id(os.urandom), SessionId(new_session_id(os.urandom))
        near.send(msg.Init(txn, session, laptop.device, desktop.device, msg.Mode.COPY, 0, b"", take=False))
        near.send(msg.Request(txn, listing(session, count), (PartId("p1"),), 600))
        return txn

    first = offer(100)
    await until(lambda: len(desktop.pending()) == 1)
    assert len(desktop.pending()[0].secrets()) == 100
    incoming = desktop.handoffs.incoming(first)
    assert incoming is not None
    weight = incoming.weight
    assert weight > 100 * OFFER_ITEM
    monkeypatch.setattr("p2p_handoff.protocol.admission.MAX_OFFERS_KEPT", 2 * weight)
    second = offer(100)
    await until(lambda: len(desktop.pending()) == 2)
    third = offer(1)
    await until(lambda: bool(answers))
    assert [(answer.txn, answer.reason.value) for answer in answers] == [(third, "busy")]
    assert {request.txn for request in desktop.pending()} == {first, second}
    monkeypatch.setattr("p2p_handoff.protocol.admission.MAX_OFFERS_KEPT", 4 * weight)
    monkeypatch.setattr("p2p_handoff.protocol.admission.MAX_OFFERS_IN_ALL", 2 * weight)
    fourth = offer(1)
    await until(lambda: len(answers) == 2)
    assert (answers[1].txn, answers[1].reason.value) == (fourth, "busy")


def listing(session: SessionId, count: int) -> bytes:
    """A manifest that lists so many secrets."""
    secrets = tuple(Secret(b"%06d" % number, "token") for number in range(count))
    part = Part(PartId("p1"), PartType.FILES, "folder", "gift", digest(b""), 0, 0, 1, secrets=secrets)
    return encode_manifest(Manifest(session, "gift", (part,)))


async def test_an_offer_that_is_no_manifest_is_rejected(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Outgoing._manifest
    monkeypatch.setattr(
        Outgoing, "_manifest", lambda self: b"junk" if self.machine.state is SourceState.OFFERED else honest(self)
    )
    report = await handed_over(two_agents.laptop, folder)
    assert report.outcome == "rejected"


async def test_a_round_that_is_no_manifest_ends_the_handoff(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Outgoing._manifest
    monkeypatch.setattr(
        Outgoing, "_manifest", lambda self: b"junk" if self.machine.state is SourceState.COPYING else honest(self)
    )
    report = await handed_over(two_agents.laptop, folder)
    assert report.outcome == "failed"
    assert still_primary(two_agents.laptop, report.session)


def _without_first(manifest: Manifest) -> Manifest:
    return replace(manifest, parts=manifest.parts[1:])


def _as_conversation(manifest: Manifest) -> Manifest:
    def changed(part: Part) -> Part:
        return replace(part, kind="conversation", type=PartType.MESSAGES)

    return replace(manifest, parts=tuple(changed(part) for part in manifest.parts))


@pytest.mark.parametrize("change", [_without_first, _as_conversation])
async def test_a_grant_of_something_else_than_was_agreed_is_refused(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Manifest], Manifest]
) -> None:
    lie(monkeypatch, change, GRANTING)
    laptop, desktop = two_agents
    report = await handed_over(laptop, folder)
    assert report.outcome == "failed"
    assert still_primary(laptop, report.session)
    assert desktop.store.sessions.get(SessionId(report.session)) is None


# --- targets ----------------------------------------------------------------------------------------


async def test_a_target_cannot_take_what_was_not_offered(
    two_agents: Pair, folder: Path, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def greedy(self: Incoming, _effect: tgt.SendAccept) -> None:
        self._send(msg.Accept(self.txn, (PartId("p1"), PartId("p2"))))

    monkeypatch.setitem(Incoming._EFFECTS, tgt.SendAccept, greedy)
    laptop, _ = two_agents
    record = await laptop.start([folder, talk])
    report = await asyncio.wait_for(laptop.to("desktop", record.id, only=["messages"]), 10)
    assert report.outcome == "failed"
    assert "not offered" in report.text
    assert report.sent_bytes == 0
    assert still_primary(laptop, record.id)


# --- third devices ----------------------------------------------------------------------------------


async def test_a_device_that_is_not_the_source_cannot_make_the_target_decide(two_agents: Pair) -> None:
    laptop, desktop = two_agents
    near, _ = await connected(two_agents)
    session, root = new_session_id(os.urandom), digest(b"manifest")
    known, other, genuine = (new_txn_id(os.urandom) for _ in range(3))
    state = chains.verify_chain(chains.create(laptop.identity, session, root))

    def granted(txn: TxnId, target: Identity) -> bytes:
        offer = chains.Offer(txn, target.public.identity_key, root, (PartId("p1"),), bytes(NONCE_BYTES))
        return encode_signed(chains.grant(laptop.identity, state, offer))

    near.send(msg.Query(known, session, b"junk"))
    near.send(msg.Query(known, session, granted(known, Identity.generate())))
    near.send(msg.Query(known, session, granted(other, desktop.identity)))
    # The same connection answers what comes behind them: they were looked at by then.
    near.send(msg.Query(genuine, session, granted(genuine, desktop.identity)))
    await until(lambda: desktop.store.incoming.decision(genuine) is not None)
    assert desktop.store.incoming.decision(known) is None
    assert desktop.store.incoming.refusals(laptop.device) == 1


async def test_a_linked_device_that_names_the_handoff_of_two_others_changes_nothing_at_either(
    two_people: Pair, devices: Devices, folder: Path
) -> None:
    laptop, desktop = two_people
    phone = await devices.start("phone")
    for agent in two_people:
        introduce(phone, agent, LinkKind.OTHER)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(desktop.pending()))
    (request,) = desktop.pending()
    txn, failed = request.txn, msg.RejectReason.FAILED
    answers = heard_by(phone, msg.SessionList)
    for agent in two_people:
        wire = await phone.parts.dialer.connect(agent.device)
        wire.send(msg.Cancel(txn, failed, "in another's name"))
        wire.send(msg.Reject(txn, failed, "in another's name"))
        wire.send(msg.Accept(txn, (PartId("p1"),)))
        wire.send(msg.Round(txn, 1, b"junk"))
        wire.send(msg.Gone(txn, PartId("p1"), (bytes(32),)))
        wire.send(msg.ListSessions(1))
    # What stands behind them on each connection is answered: they were looked at by then.
    await until(lambda: len(answers) == 2)
    assert desktop.pending() == [request]
    assert not handing.done()
    desktop.accept()
    assert (await asyncio.wait_for(handing, 20)).outcome == "done"
    assert tree(desktop.settings.receive_dir / "project") == FILES
