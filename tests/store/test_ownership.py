# SPDX-License-Identifier: Apache-2.0
"""store.ownership: starting, following; and random handoffs between three stores against a small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from p2p_handoff.errors import HandoffError, LocalProtocolError, TrustError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import verify_chain
from p2p_handoff.session.ownership import Role, is_lost
from p2p_handoff.session.signed import SignedStatement
from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import ROOT, chain_of, device, grant, session_id, txn_id
from tests.store.store_world import (
    MANIFEST,
    SESSION,
    A,
    B,
    C,
    acceptance,
    binding,
    freeze,
    known_chain,
    new_session,
    refusal,
    refuse,
)


def role(store: Store) -> Role:
    record = store.sessions.get(SESSION)
    assert record is not None
    return record.ownership.role


def test_a_started_session_is_primary_here(store: Store) -> None:
    assert store.ownership.start(new_session(A)).role is Role.PRIMARY
    assert role(store) is Role.PRIMARY
    assert store.counter.value == 1


def test_a_session_starts_once(store: Store) -> None:
    store.ownership.start(new_session(A))
    with pytest.raises(LocalProtocolError):
        store.ownership.start(new_session(A))


def test_another_devices_genesis_does_not_start_a_session_here(store: Store) -> None:
    with pytest.raises(LocalProtocolError):
        store.ownership.start(new_session(B))


def test_a_third_devices_chain_resolves_a_doubt(store: Store) -> None:
    store.ownership.start(new_session(A))
    freeze(store, 0, A, B)
    own = store.ownership.learn(SESSION, chain_of(1, 2, 3))
    assert (own.role, own.epoch, own.primary) == (Role.SECONDARY, 3, C.device)
    outgoing = store.outgoing.grant(txn_id(0))
    assert outgoing is not None
    assert outgoing.answer == chain_of(1, 2)[-1]


def test_an_older_chain_changes_nothing(store: Store) -> None:
    store.ownership.follow(replace(new_session(A), chain=chain_of(2, 3)))
    counted = store.counter.value
    store.ownership.learn(SESSION, chain_of(2))
    assert store.counter.value == counted
    assert verify_chain(known_chain(store)).epoch == 2


def test_a_second_history_is_not_learned(store: Store) -> None:
    store.ownership.follow(replace(new_session(A), chain=chain_of(2, 3)))
    with pytest.raises(TrustError, match="two histories"):
        store.ownership.learn(SESSION, chain_of(2, 1, 3))


def test_a_session_that_this_device_owned_and_forgot_is_lost_and_stays_so(store: Store) -> None:
    store.ownership.follow(replace(new_session(A), chain=chain_of(2, 3)))
    own = store.ownership.learn(SESSION, chain_of(2, 3, 1))
    assert (own.role, own.primary) == (Role.SECONDARY, A.device)
    held = store.ownership.held_of(SESSION)
    assert held is not None
    assert is_lost(held.ownership, me=A.device)
    store.counter.confirm()
    with pytest.raises(LocalProtocolError):
        freeze(store, 7, A, B)


def test_what_is_held_is_listed_with_what_its_chain_proves(store: Store) -> None:
    store.ownership.start(new_session(A))
    store.ownership.follow(replace(new_session(B, 2), chain=chains.create(B, session_id(2), ROOT)))
    assert [held.state.primary for held in store.ownership.all_held()] == [A.device, B.device]
    assert store.ownership.held_of(session_id(9)) is None


def test_the_database_itself_forbids_an_epoch_to_fall(store: Store) -> None:
    store.ownership.follow(replace(new_session(A), chain=chain_of(2, 3)))
    with pytest.raises(LocalProtocolError, match="never falls"), store._database.transaction():
        store._database.write("UPDATE sessions SET epoch = 1")


def test_a_rolled_back_home_only_learns(store: Store) -> None:
    store.ownership.start(new_session(A))
    freeze(store, 0, A, B)
    store.counter.witness(99)
    for forbidden in (
        lambda: store.outgoing.thaw(SESSION, refusal(0, A, B)),
        lambda: refuse(store, 5, B, A),
        lambda: store.incoming.accept(acceptance(chain_of(2), grant(chain_of(2), 7, B, A), A)),
    ):
        with pytest.raises(HandoffError):
            forbidden()
    assert store.incoming.decision(txn_id(5)) is None
    assert store.ownership.learn(SESSION, chain_of(1, 2)).role is Role.SECONDARY


Message = tuple[str, int, int, int, SignedStatement]


class Handoffs(RuleBasedStateMachine):
    """Three stores; statements arrive at any time and again; agents restart. The model: who was ever primary."""

    @initialize()
    def begin(self) -> None:
        self._directory = TemporaryDirectory()
        self.stores = [self._open(index) for index in range(3)]
        self.stores[0].ownership.start(replace(new_session(A), bindings=(binding(path=None),)))
        self.grants: list[tuple[int, int, int, SignedStatement]] = []
        self.answers: list[tuple[int, SignedStatement]] = []
        self.owner_of = {1: 0}
        self.decided: dict[int, str] = {}

    def _open(self, index: int) -> Store:
        return open_store(Path(self._directory.name) / f"{index}.sqlite3", device(index + 1).device)

    def _role(self, index: int) -> Role | None:
        record = self.stores[index].sessions.get(SESSION)
        return None if record is None else record.ownership.role

    @rule(source=st.integers(0, 2), shift=st.integers(1, 2))
    def grant(self, source: int, shift: int) -> None:
        target = (source + shift) % 3
        allowed = self._role(source) is Role.PRIMARY
        if self._role(source) is None:
            return
        try:
            signed = freeze(self.stores[source], len(self.grants), device(source + 1), device(target + 1))
        except LocalProtocolError:
            assert not allowed
        else:
            assert allowed
            self.grants.append((len(self.grants), source, target, signed))

    @precondition(lambda self: self.grants)
    @rule(data=st.data())
    def deliver_grant(self, data: st.DataObject) -> None:
        txn, source, target, signed = data.draw(st.sampled_from(self.grants))
        chain = known_chain(self.stores[source])
        arriving = acceptance(chain, signed, device(target + 1))
        try:
            own = self.stores[target].incoming.accept(arriving)
        except HandoffError:
            return
        assert txn not in self.decided
        assert own.epoch not in self.owner_of
        self.owner_of[own.epoch] = target
        self.decided[txn] = "accepted"
        self.answers.append((source, arriving.chain[-1]))

    @precondition(lambda self: self.grants)
    @rule(data=st.data())
    def query(self, data: st.DataObject) -> None:
        txn, source, target, _ = data.draw(st.sampled_from(self.grants))
        try:
            signed = refuse(self.stores[target], txn, device(source + 1), device(target + 1))
        except LocalProtocolError:
            assert self.decided[txn] == "accepted"
        else:
            assert self.decided.setdefault(txn, "refused") == "refused"
            self.answers.append((source, signed))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def deliver_answer(self, data: st.DataObject) -> None:
        source, signed = data.draw(st.sampled_from(self.answers))
        for deliver in (self.stores[source].outgoing.release, self.stores[source].outgoing.thaw):
            try:
                deliver(SESSION, signed)
            except HandoffError:
                continue

    @rule(teller=st.integers(0, 2), listener=st.integers(0, 2))
    def gossip(self, teller: int, listener: int) -> None:
        if self._role(teller) is None or self._role(listener) is None:
            return
        self.stores[listener].ownership.learn(SESSION, known_chain(self.stores[teller]))

    @rule(index=st.integers(0, 2))
    def restart(self, index: int) -> None:
        self.stores[index].close()
        self.stores[index] = self._open(index)

    @invariant()
    def one_owner(self) -> None:
        roles = [self._role(index) for index in range(3)]
        assert roles.count(Role.PRIMARY) <= 1
        assert any(held in (Role.PRIMARY, Role.FROZEN) for held in roles)

    @invariant()
    def the_primary_is_the_last_who_accepted(self) -> None:
        for index in range(3):
            if self._role(index) is Role.PRIMARY:
                assert self.owner_of[max(self.owner_of)] == index

    @override
    def teardown(self) -> None:
        for opened in self.stores:
            opened.close()
        self._directory.cleanup()


TestHandoffs = Handoffs.TestCase
TestHandoffs.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)


def test_the_manifest_of_the_last_handoff_is_the_common_one(store: Store) -> None:
    store.ownership.start(replace(new_session(A), manifest=b"first"))
    store.outgoing.release(SESSION, chains.accept(B, freeze(store, 0, A, B)))
    record = store.sessions.get(SESSION)
    assert record is not None
    assert record.manifest == MANIFEST
