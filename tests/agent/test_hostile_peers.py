# SPDX-License-Identifier: Apache-2.0
"""A linked device that does not keep to the protocol gains nothing, and nobody waits for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.report import Report
from p2p_handoff.content.digests import digest
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId, new_session_id, new_txn_id
from p2p_handoff.limits import MAX_ANSWERING
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.sealing import Envelope, EnvelopeKind, seal
from p2p_handoff.session import chain as chains
from p2p_handoff.session.manifest import Manifest, Part, PartType, encode_manifest
from p2p_handoff.session.signed import encode_signed
from p2p_handoff.session.statements import NONCE_BYTES
from p2p_handoff.testing.samples import conversation_lines
from signaling.port import RelayPort
from tests.agent.devices import Devices, Pair, fill, tree, until
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
