# SPDX-License-Identifier: Apache-2.0
"""store.generations: what is kept, and changes that are decided once and rolled forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import LocalProtocolError, NotFoundError
from p2p_handoff.session.manifest import Manifest, Part, PartType
from p2p_handoff.store.generations import Cause, Change, Kept, PendingChange, Phase
from p2p_handoff.store.store import Store
from tests.session.ownership_world import session_id
from tests.store.store_world import P1, SESSION, A, new_session

PART = Part(P1, PartType.FILES, "folder", "notes", digest(b"root"), 4, 100, 3)
KEPT = Kept(SESSION, 100.0, Cause.HANDOFF, "txn-1", 2, Manifest(SESSION, "Notes", (PART,)))
UNDO = Change("undo-1", SESSION, Cause.UNDO, Phase.STAGING, 1)
PENDING = PendingChange("undo-1", SESSION, P1, Path("/home/ada/.notes.handoff-undo-1"), Path("/state"), "folder")


@pytest.fixture
def started(store: Store) -> Store:
    store.ownership.start(new_session(A))
    return store


def test_a_kept_state_is_found_again(started: Store) -> None:
    added = started.generations.add(KEPT)
    assert (added.number, added.kept) == (1, KEPT)
    assert started.generations.of(SESSION) == (added,)
    assert started.generations.before(SESSION, "txn-1") == added
    assert started.generations.before(SESSION, "txn-2") is None


def test_the_same_change_is_noted_once(started: Store) -> None:
    started.generations.add(KEPT)
    assert started.generations.add(replace(KEPT, kept_at=200.0)).kept.kept_at == 100.0
    assert len(started.generations.of(SESSION)) == 1


def test_numbers_go_on_when_older_states_are_forgotten(started: Store) -> None:
    started.generations.add(KEPT)
    started.generations.add(replace(KEPT, change="txn-2"))
    started.generations.forget(SESSION, [1])
    assert started.generations.add(replace(KEPT, change="txn-3")).number == 3
    assert [item.number for item in started.generations.of(SESSION)] == [2, 3]


def test_what_is_kept_goes_with_its_session(started: Store) -> None:
    started.generations.add(KEPT)
    started.sessions.remove(SESSION)
    assert started.generations.of(SESSION) == ()


def test_a_change_is_staged_decided_placed_and_over(started: Store) -> None:
    generations = started.generations
    generations.begin(UNDO)
    assert generations.change_of(SESSION) == UNDO
    generations.decide("undo-1", replace(KEPT, cause=Cause.UNDO, change="undo-1"), [PENDING])
    assert generations.changes() == (replace(UNDO, phase=Phase.PLACING),)
    assert generations.pending("undo-1") == (PENDING,)
    assert generations.pending_directories() == {PENDING.directory}
    assert generations.before(SESSION, "undo-1") is not None
    generations.give_up("undo-1")
    assert generations.change_of(SESSION) is not None, "what is decided cannot be given up"
    generations.placed("undo-1", P1)
    assert generations.changes() == ()
    assert generations.pending_directories() == frozenset()


def test_only_one_change_of_a_session_at_a_time(started: Store) -> None:
    started.generations.begin(UNDO)
    with pytest.raises(LocalProtocolError, match="another change"):
        started.generations.begin(replace(UNDO, id="undo-2"))
    started.ownership.start(new_session(A, 2))
    started.generations.begin(replace(UNDO, id="undo-2", session=session_id(2)))


def test_what_was_given_up_cannot_be_decided(started: Store) -> None:
    started.generations.begin(UNDO)
    started.generations.give_up("undo-1")
    with pytest.raises(NotFoundError, match="given up"):
        started.generations.decide("undo-1", KEPT, [PENDING])
    assert started.generations.of(SESSION) == ()


def test_a_change_without_parts_ends_by_itself(started: Store) -> None:
    started.generations.begin(UNDO)
    started.generations.decide("undo-1", KEPT, [])
    started.generations.finish("undo-1")
    assert started.generations.change_of(SESSION) is None
