# SPDX-License-Identifier: Apache-2.0
"""store.outgoing: a frozen source waits for the target's word, across restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p_handoff.errors import IntegrityError, LocalProtocolError, NotFoundError, RemoteProtocolError, TrustError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import decode_chain, verify_chain
from p2p_handoff.session.ownership import Frozen, Role
from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import ROOT, grant, txn_id
from tests.store.store_world import MANIFEST, SESSION, A, B, C, freeze, known_chain, new_session, refusal


@pytest.fixture
def started(store: Store) -> Store:
    store.ownership.start(new_session(A))
    return store


def test_freezing_survives_a_restart_with_everything_needed_to_ask_again(started: Store, tmp_path: Path) -> None:
    signed = freeze(started, 0, A, B)
    started.close()
    with open_store(tmp_path / "store.sqlite3", A.device) as again:
        record = again.sessions.get(SESSION)
        assert record is not None
        assert record.ownership.role is Role.FROZEN
        assert record.ownership.frozen == Frozen(txn_id(0), B.device, ROOT, 1)
        outgoing = again.outgoing.grant(txn_id(0))
        assert outgoing is not None
        assert (outgoing.signed, outgoing.manifest, outgoing.answer) == (signed, MANIFEST, None)


def test_when_a_session_was_granted_is_kept_for_people(started: Store) -> None:
    signed = grant(known_chain(started), 0, A, B)
    started.outgoing.freeze(signed, MANIFEST, at=1234.5)
    outgoing = started.outgoing.grant(txn_id(0))
    assert outgoing is not None
    assert outgoing.granted_at == 1234.5


def test_accepted_releases_and_extends_the_chain(started: Store) -> None:
    accepted = chains.accept(B, freeze(started, 0, A, B))
    assert started.outgoing.release(SESSION, accepted).role is Role.SECONDARY
    assert verify_chain(known_chain(started)).primary == B.device
    outgoing = started.outgoing.grant(txn_id(0))
    assert outgoing is not None
    assert (outgoing.manifest, outgoing.answer) == (None, accepted)
    record = started.sessions.get(SESSION)
    assert record is not None
    assert record.manifest == MANIFEST


def test_refused_thaws_and_the_next_handoff_has_another_txn(started: Store) -> None:
    freeze(started, 0, A, B)
    own = started.outgoing.thaw(SESSION, refusal(0, A, B))
    assert (own.role, own.epoch) == (Role.PRIMARY, 1)
    with pytest.raises(LocalProtocolError):
        freeze(started, 0, A, B)
    freeze(started, 1, A, C)


def test_a_refusal_of_an_earlier_handoff_does_not_thaw_a_later_one(started: Store) -> None:
    freeze(started, 0, A, B)
    old = refusal(0, A, B)
    started.outgoing.thaw(SESSION, old)
    freeze(started, 1, A, B)
    with pytest.raises(RemoteProtocolError):
        started.outgoing.thaw(SESSION, old)


def test_a_forged_answer_changes_nothing(started: Store) -> None:
    signed = freeze(started, 0, A, B)
    for genuine in (chains.accept(B, signed), refusal(0, A, B)):
        forged = type(genuine)(genuine.body, C.sign(b"ownership v1", genuine.body))
        with pytest.raises((TrustError, LocalProtocolError, RemoteProtocolError)):
            started.outgoing.release(SESSION, forged)
        with pytest.raises((TrustError, LocalProtocolError, RemoteProtocolError)):
            started.outgoing.thaw(SESSION, forged)
    record = started.sessions.get(SESSION)
    assert record is not None
    assert record.ownership.role is Role.FROZEN


def test_a_second_grant_while_frozen_is_refused(started: Store) -> None:
    freeze(started, 0, A, B)
    with pytest.raises(LocalProtocolError, match="frozen"):
        freeze(started, 1, A, C)
    assert started.outgoing.grant(txn_id(1)) is None


def test_a_manifest_that_is_not_the_granted_one_is_refused(started: Store) -> None:
    with pytest.raises(IntegrityError):
        started.outgoing.freeze(grant(known_chain(started), 0, A, B), b"another")


def test_a_grant_that_does_not_continue_the_chain_is_refused(started: Store) -> None:
    elsewhere = grant(new_session(B).chain, 0, B, C)
    with pytest.raises(TrustError, match="link 1"):
        started.outgoing.freeze(elsewhere, MANIFEST)
    record = started.sessions.get(SESSION)
    assert record is not None
    assert record.ownership.role is Role.PRIMARY


def test_an_unknown_session_is_not_found(started: Store) -> None:
    with pytest.raises(NotFoundError):
        started.outgoing.freeze(grant(new_session(A, 2).chain, 0, A, B), MANIFEST)
    with pytest.raises(NotFoundError):
        started.outgoing.release(new_session(A, 2).bindings[0].session, refusal(0, A, B))


def test_every_change_counts_and_a_refused_one_does_not(started: Store) -> None:
    before = started.counter.value
    freeze(started, 0, A, B)
    with pytest.raises(LocalProtocolError):
        freeze(started, 1, A, B)
    assert started.counter.value == before + 1


def test_the_chain_in_the_database_is_what_peers_get(started: Store) -> None:
    record = started.sessions.get(SESSION)
    assert record is not None
    assert decode_chain(record.chain) == new_session(A).chain
