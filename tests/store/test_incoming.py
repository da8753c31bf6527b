# SPDX-License-Identifier: Apache-2.0
"""store.incoming: one decision per handoff, and the commit point."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.errors import IntegrityError, LocalProtocolError, NotFoundError, RemoteProtocolError, TrustError
from p2p_handoff.session.ownership import Role, Verdict
from p2p_handoff.store.records import Acceptance
from p2p_handoff.store.store import Store
from tests.session.ownership_world import chain_of, grant, handed, session_id, txn_id
from tests.store.store_world import P1, SESSION, A, B, C, acceptance, binding, new_session, refusal, refuse

CHAIN = chain_of(2)


def arriving(txn: int = 7) -> Acceptance:
    """Device 2 hands its session to device 1, whose store this is."""
    return acceptance(CHAIN, grant(CHAIN, txn, B, A), A)


def test_accepting_commits_everything_at_once(store: Store) -> None:
    own = store.incoming.accept(arriving())
    assert (own.role, own.epoch, own.primary) == (Role.PRIMARY, 2, A.device)
    record = store.sessions.get(SESSION)
    assert record is not None
    assert record.ownership == own
    assert [part.path for part in store.sessions.bindings(SESSION)] == [Path("/srv/notes")]
    assert store.incoming.pending_commits() == arriving().commits
    decision = store.incoming.decision(txn_id(7))
    assert decision is not None
    assert (decision.verdict, decision.source) == (Verdict.ACCEPTED, B.device)
    assert decision.statement == arriving().chain[-1]


def test_a_failure_at_the_last_row_undoes_all_of_it(store: Store) -> None:
    before = store.counter.value
    twice = arriving().commits * 2
    with pytest.raises(LocalProtocolError):
        store.incoming.accept(replace(arriving(), commits=twice))
    assert store.sessions.get(SESSION) is None
    assert store.incoming.decision(txn_id(7)) is None
    assert store.counter.value == before
    store.incoming.accept(arriving())


def test_what_was_refused_is_never_accepted(store: Store) -> None:
    refuse(store, 7, B, A)
    with pytest.raises(LocalProtocolError, match="refused"):
        store.incoming.accept(arriving())
    assert store.sessions.get(SESSION) is None


def test_what_was_accepted_is_never_refused(store: Store) -> None:
    store.incoming.accept(arriving())
    with pytest.raises(LocalProtocolError, match="accepted"):
        refuse(store, 7, B, A)


def test_what_was_accepted_is_not_accepted_twice(store: Store) -> None:
    store.incoming.accept(arriving())
    with pytest.raises((LocalProtocolError, RemoteProtocolError)):
        store.incoming.accept(arriving())


def test_refusing_twice_is_one_decision(store: Store) -> None:
    first = refuse(store, 7, B, A)
    counted = store.counter.value
    refuse(store, 7, B, A)
    assert store.counter.value == counted
    decision = store.incoming.decision(txn_id(7))
    assert decision is not None
    assert (decision.verdict, decision.statement) == (Verdict.REFUSED, first)


def test_the_database_itself_forbids_to_change_or_drop_a_decision(store: Store) -> None:
    refuse(store, 7, B, A)
    for sql in ("UPDATE decisions SET verdict = 'accepted'", "DELETE FROM decisions"):
        with pytest.raises(LocalProtocolError, match="a decision never"), store._database.transaction():
            store._database.write(sql)


def test_another_devices_refusal_is_not_stored(store: Store) -> None:
    with pytest.raises(LocalProtocolError):
        store.incoming.refuse(refusal(7, A, B), B.public.identity_key)
    with pytest.raises(TrustError):
        store.incoming.refuse(refusal(7, B, A), B.public.identity_key)


def test_a_session_comes_back_where_it_lives(store: Store) -> None:
    store.incoming.accept(arriving())
    store.incoming.commit_done(txn_id(7), P1, Path("/srv/notes"))
    away = handed(arriving().chain, 8, A, C)
    store.outgoing.freeze(away[-2], b"manifest")
    store.outgoing.release(SESSION, away[-1])
    back = acceptance(away, grant(away, 9, C, A), A)
    assert store.incoming.accept(back).epoch == 4
    record = store.sessions.get(SESSION)
    assert record is not None
    assert record.created_at == 200.0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"manifest": b"other"}, IntegrityError),
        ({"nonce": b"x" * 16}, RemoteProtocolError),
        ({"chain": CHAIN}, LocalProtocolError),
        ({"chain": (*CHAIN, *chain_of(3, 1)[1:])}, TrustError),
        ({"chain": chain_of(2, 3)}, RemoteProtocolError),
        ({"bindings": (binding(session_id(2)),)}, LocalProtocolError),
    ],
)
def test_an_acceptance_that_does_not_hold_together_leaves_no_trace(
    store: Store, change: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.incoming.accept(replace(arriving(), **change))  # type: ignore[arg-type]  # one field of several types
    assert store.sessions.all() == ()
    assert store.incoming.pending_commits() == ()


def test_a_second_history_of_a_known_session_is_not_accepted(store: Store) -> None:
    other = new_session(C)
    store.ownership.follow(other)
    with pytest.raises(TrustError, match="two histories"):
        store.incoming.accept(arriving())


def test_a_placed_part_is_no_longer_pending_and_remembers_where_it_went(store: Store) -> None:
    store.incoming.accept(arriving())
    store.incoming.commit_done(txn_id(7), P1, Path("/srv/notes 2"))
    assert store.incoming.pending_commits() == ()
    assert [part.path for part in store.sessions.bindings(SESSION)] == [Path("/srv/notes 2")]
    with pytest.raises(NotFoundError):
        store.incoming.commit_done(txn_id(7), P1, Path("/srv/notes 2"))
