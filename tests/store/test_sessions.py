# SPDX-License-Identifier: Apache-2.0
"""store.sessions: what is known of sessions, and forgetting them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.errors import InDoubtError, LocalProtocolError, NotFoundError, UsageError
from p2p_handoff.ids import PartId
from p2p_handoff.session.manifest import PartType
from p2p_handoff.store.records import PartBinding
from p2p_handoff.store.store import Store
from tests.session.ownership_world import chain_of, grant, session_id, txn_id
from tests.store.store_world import P1, SESSION, A, B, acceptance, binding, freeze, new_session


@pytest.fixture
def started(store: Store) -> Store:
    store.ownership.start(new_session(A))
    return store


def test_a_session_is_found_again_with_its_parts(started: Store) -> None:
    record = started.sessions.get(SESSION)
    assert record is not None
    assert (record.title, record.created_at, record.manifest, record.stopped) == ("Notes", 100.0, b"manifest", False)
    assert started.sessions.bindings(SESSION) == (binding(),)
    assert started.sessions.get(session_id(2)) is None


def test_sessions_are_listed_oldest_first(started: Store) -> None:
    started.ownership.start(replace(new_session(A, 2), created_at=50.0))
    assert [record.id for record in started.sessions.all()] == [session_id(2), SESSION]


def test_title_manifest_and_stopping_change_nothing_else(started: Store) -> None:
    counted = started.counter.value
    before = started.sessions.get(SESSION)
    assert before is not None
    started.sessions.rename(SESSION, "Diary")
    started.sessions.set_manifest(SESSION, b"later")
    started.sessions.set_stopped(SESSION, stopped=True)
    assert started.sessions.get(SESSION) == replace(before, title="Diary", manifest=b"later", stopped=True)
    assert started.counter.value == counted


def test_a_path_that_is_not_text_comes_back_as_it_was(started: Store) -> None:
    path = Path(os.fsdecode(b"/home/ada/caf\xe9"))
    started.sessions.bind(replace(binding(), path=path))
    assert [found.part for found in started.sessions.at_path(path)] == [P1]


def test_a_part_held_elsewhere_has_a_holder_and_no_path(started: Store) -> None:
    away = PartBinding(SESSION, PartId("p2"), PartType.MESSAGES, "conversation", "chat", None, B.device)
    started.sessions.bind(away)
    assert started.sessions.bindings(SESSION) == (binding(), away)


def test_a_part_needs_a_session(store: Store) -> None:
    with pytest.raises(LocalProtocolError):
        store.sessions.bind(binding())


def test_an_unknown_session_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.sessions.rename(SESSION, "x")
    with pytest.raises(NotFoundError):
        store.sessions.set_manifest(SESSION, b"")
    with pytest.raises(NotFoundError):
        store.sessions.set_stopped(SESSION, stopped=True)
    with pytest.raises(NotFoundError):
        store.sessions.remove(SESSION)


def test_a_forgotten_session_leaves_nothing(started: Store) -> None:
    started.sessions.remove(SESSION)
    assert started.sessions.get(SESSION) is None
    assert started.sessions.bindings(SESSION) == ()


def test_a_frozen_session_cannot_be_forgotten(started: Store) -> None:
    freeze(started, 0, A, B)
    with pytest.raises(InDoubtError):
        started.sessions.remove(SESSION)


def test_a_session_that_is_being_put_in_place_cannot_be_forgotten_and_its_decision_stays(store: Store) -> None:
    store.incoming.accept(acceptance(chain_of(2), grant(chain_of(2), 7, B, A), A))
    with pytest.raises(UsageError):
        store.sessions.remove(SESSION)
    store.incoming.commit_done(txn_id(7), P1, Path("/srv/notes"))
    store.sessions.remove(SESSION)
    assert store.incoming.decision(txn_id(7)) is not None
