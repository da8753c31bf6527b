# SPDX-License-Identifier: Apache-2.0
"""store.counter: an old copy of a home is noticed, held back, and let in again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.errors import LocalProtocolError, TrustError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.ownership import Verdict
from p2p_handoff.session.signed import read
from p2p_handoff.session.statements import Grant, RefusalReason
from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import chain_of, device
from tests.store.store_world import SESSION, A, B, freeze, known_chain, new_session


def test_a_new_home_starts_at_zero_and_is_not_rolled_back(store: Store) -> None:
    assert (store.counter.value, store.counter.rolled_back) == (0, False)


def test_a_restored_copy_is_held_back_until_confirmed(tmp_path: Path) -> None:
    with open_store(tmp_path / "now", A.device) as store:
        store.ownership.start(new_session(A))
    shutil.copy(tmp_path / "now", tmp_path / "backup")
    with open_store(tmp_path / "now", A.device) as store:
        freeze(store, 0, A, B)
        seen = store.counter.value
    with open_store(tmp_path / "backup", A.device) as restored:
        assert restored.counter.witness(seen)
        with pytest.raises(TrustError, match="old copy"):
            freeze(restored, 1, A, B)
        restored.counter.confirm()
        assert restored.counter.value > seen
        freeze(restored, 1, A, B)


def test_what_a_restored_copy_learns_does_not_let_it_in_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "now", A.device) as store:
        store.ownership.start(new_session(A))
    shutil.copy(tmp_path / "now", tmp_path / "backup")
    with open_store(tmp_path / "now", A.device) as store:
        signed = freeze(store, 0, A, B)
        seen = store.counter.value
    with open_store(tmp_path / "backup", A.device) as restored:
        restored.counter.witness(seen)
        restored.ownership.learn(SESSION, (*known_chain(restored), signed, chains.accept(B, signed)))
        with pytest.raises(TrustError, match="old copy"):
            restored.counter.check()
        restored.counter.confirm()
        restored.counter.check()
        assert restored.counter.value > seen + 1


def test_a_chain_with_a_grant_that_this_home_forgot_shows_that_it_was_rolled_back(store: Store) -> None:
    store.ownership.start(new_session(A))
    store.ownership.learn(SESSION, chain_of(1, 2))
    assert store.counter.rolled_back


def test_a_chain_with_an_acceptance_that_this_home_forgot_shows_that_it_was_rolled_back(store: Store) -> None:
    store.ownership.follow(replace(new_session(B), chain=chain_of(2)))
    store.ownership.learn(SESSION, chain_of(2, 1, 3))
    assert store.counter.rolled_back


def test_a_session_that_was_lost_altogether_shows_that_this_home_was_rolled_back(store: Store) -> None:
    store.ownership.follow(replace(new_session(B), chain=chain_of(2, 1)))
    assert store.counter.rolled_back


def test_news_of_others_and_of_the_outstanding_grant_show_nothing_of_the_kind(store: Store) -> None:
    store.ownership.start(new_session(A))
    freeze(store, 0, A, B)
    store.ownership.learn(SESSION, chain_of(1, 2))
    store.ownership.learn(SESSION, chain_of(1, 2, 3))
    assert not store.counter.rolled_back


def test_a_peer_that_saw_less_is_no_news(store: Store) -> None:
    store.ownership.start(new_session(device(1)))
    assert not store.counter.witness(1)
    store.counter.check()


def test_regression_an_old_copy_that_learns_of_its_own_acceptance_does_not_refuse_it(store: Store) -> None:
    chain = chain_of(2, 1)  # this device accepted what the other one granted, and has forgotten even the session
    grant = read(chain[1], Grant)
    store.ownership.follow(replace(new_session(A), chain=chain))
    known = store.incoming.decision(grant.txn)
    assert known is not None
    assert (known.verdict, known.source, known.statement) == (Verdict.ACCEPTED, B.device, chain[2])
    store.counter.confirm()
    refused = chains.refuse(A, grant.session, grant.txn, B.device, RefusalReason.UNKNOWN)
    with pytest.raises(LocalProtocolError, match="never changes"):
        store.incoming.refuse(refused, A.public.identity_key)
