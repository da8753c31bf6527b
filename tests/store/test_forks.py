# SPDX-License-Identifier: Apache-2.0
"""store.forks: a fork takes the paths, and gives them back when it and its original come together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import LocalProtocolError, NotFoundError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.journal import ForkState
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.signed import SignedStatement
from p2p_handoff.session.statements import Parent
from p2p_handoff.store.forks import Fork, Merge
from p2p_handoff.store.records import NewSession
from p2p_handoff.store.store import Store
from tests.session.ownership_world import ROOT, session_id
from tests.store.store_world import MANIFEST, SESSION, A, B, freeze, new_session, refusal

FORK = session_id(2)
PLACE = Path("/home/ada/notes")


def fork_of(epoch: int, root: Digest = ROOT, number: int = 2) -> NewSession:
    chain = chains.create(A, session_id(number), ROOT, Parent(SESSION, epoch, root))
    return replace(new_session(A, number), chain=chain)


def role(store: Store) -> Role:
    record = store.sessions.get(SESSION)
    assert record is not None
    return record.ownership.role


@pytest.fixture
def granted(store: Store) -> SignedStatement:
    store.ownership.start(new_session(A))
    return freeze(store, 0, A, B)


@pytest.fixture
def forked(store: Store, granted: SignedStatement) -> SignedStatement:
    store.forks.begin(SESSION, fork_of(1), left=MANIFEST)
    return granted


def owner_of_the_place(store: Store) -> list[str]:
    return [part.session for part in store.sessions.at_path(PLACE)]


def test_a_fork_takes_the_paths_and_leaves_the_original_frozen(store: Store, forked: SignedStatement) -> None:
    original = store.sessions.get(SESSION)
    assert original is not None
    assert original.ownership.forked
    assert original.ownership.role is Role.FROZEN
    assert owner_of_the_place(store) == [FORK]
    begun = Fork(FORK, SESSION, MANIFEST, 100.0, ForkState.OPEN, None)
    assert store.forks.get(FORK) == store.forks.open_of(SESSION) == begun
    assert store.forks.open() == store.forks.of(SESSION) == (begun,)


def test_a_fork_must_name_what_its_original_was_granted_with(store: Store, granted: SignedStatement) -> None:
    for wrong in (fork_of(2), fork_of(1, digest(b"another state")), new_session(A, 2)):
        with pytest.raises(LocalProtocolError, match="original"):
            store.forks.begin(SESSION, wrong, left=MANIFEST)
    assert owner_of_the_place(store) == [SESSION]


def test_only_a_frozen_session_is_forked_and_only_once(store: Store) -> None:
    store.ownership.start(new_session(A))
    with pytest.raises(LocalProtocolError):
        store.forks.begin(SESSION, fork_of(1), left=MANIFEST)
    freeze(store, 0, A, B)
    store.forks.begin(SESSION, fork_of(1), left=MANIFEST)
    with pytest.raises(LocalProtocolError):
        store.forks.begin(SESSION, fork_of(1, number=3), left=MANIFEST)


def test_a_refusal_brings_the_original_back_and_it_takes_its_paths(store: Store, forked: SignedStatement) -> None:
    with pytest.raises(LocalProtocolError, match="cannot come together"):
        store.forks.end(FORK, at=200.0)
    store.outgoing.thaw(SESSION, refusal(0, A, B))
    assert store.forks.end(FORK, at=200.0) is ForkState.REJOINED
    assert owner_of_the_place(store) == [SESSION]
    assert role(store) is Role.PRIMARY
    assert store.forks.open() == ()
    ended = store.forks.get(FORK)
    assert ended is not None
    assert (ended.state, ended.ended_at) == (ForkState.REJOINED, 200.0)
    record = store.sessions.get(FORK)
    assert record is not None
    assert record.stopped


def test_a_late_acceptance_makes_the_original_secondary_and_the_fork_ends_as_merged(
    store: Store, forked: SignedStatement
) -> None:
    store.outgoing.release(SESSION, chains.accept(B, forked))
    roles = {record.id: record.ownership.role for record in store.sessions.all()}
    assert roles == {SESSION: Role.SECONDARY, FORK: Role.PRIMARY}
    assert store.forks.end(FORK, at=200.0) is ForkState.MERGED
    assert owner_of_the_place(store) == [SESSION]


def test_a_fork_ends_once(store: Store, forked: SignedStatement) -> None:
    store.outgoing.thaw(SESSION, refusal(0, A, B))
    store.forks.end(FORK, at=200.0)
    with pytest.raises(LocalProtocolError):
        store.forks.end(FORK, at=300.0)
    with pytest.raises(NotFoundError):
        store.forks.end(session_id(9), at=300.0)


def test_after_a_rejoined_fork_the_next_grant_can_be_forked_again(store: Store, forked: SignedStatement) -> None:
    store.outgoing.thaw(SESSION, refusal(0, A, B))
    store.forks.end(FORK, at=200.0)
    freeze(store, 1, A, B)
    store.forks.begin(SESSION, fork_of(1, number=3), left=MANIFEST)
    assert [item.fork for item in store.forks.of(SESSION)] == [FORK, session_id(3)]
    assert [item.fork for item in store.forks.open()] == [session_id(3)]


def test_a_merge_is_noted_once_by_fork_and_root(store: Store) -> None:
    merge = Merge(FORK, ROOT, SESSION, B.device, 100.0)
    for at in (100.0, 200.0):
        store.forks.take_in(replace(merge, merged_at=at), lambda: None)
    assert store.forks.merges_into(SESSION) == (merge,)
    assert store.forks.merged(FORK, ROOT)
    assert not store.forks.merged(FORK, digest(b"later"))
