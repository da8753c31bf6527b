# SPDX-License-Identifier: Apache-2.0
"""session.journal: what a device holds changes by pure transitions, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError, LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.journal import Decision, Held
from p2p_handoff.session.ownership import Role, Verdict, is_lost
from p2p_handoff.session.statements import Parent, RefusalReason
from tests.session.ownership_world import NONCE, ROOT, chain_of, device, grant, handed, session_id, txn_id

A, B, C = device(1), device(2), device(3)
GENESIS = chain_of(1)
GRANT = grant(GENESIS, 7, A, B)
ACCEPTED = chains.accept(B, GRANT)
REFUSED = chains.refuse(B, session_id(), txn_id(7), A.device, RefusalReason.UNKNOWN)


def started() -> Held:
    return journal.start(GENESIS, me=A.device)


def frozen() -> Held:
    return journal.freeze(started(), GRANT)


def test_a_session_starts_with_a_genesis_of_this_device() -> None:
    assert (started().ownership.role, started().ownership.epoch) == (Role.PRIMARY, 1)
    with pytest.raises(LocalProtocolError):
        journal.start(GENESIS, me=B.device)
    with pytest.raises(LocalProtocolError):
        journal.start(chain_of(2, 1), me=A.device)


def test_following_ends_in_secondary_of_the_chains_primary() -> None:
    own = journal.follow(chain_of(1, 2)).ownership
    assert (own.role, own.epoch, own.primary) == (Role.SECONDARY, 2, B.device)


def test_following_what_this_device_owned_and_forgot_ends_in_a_lost_session() -> None:
    assert is_lost(journal.follow(chain_of(1, 2)).ownership, me=B.device)


def test_freezing_and_the_targets_acceptance_make_this_device_secondary() -> None:
    released = journal.release(frozen(), GRANT, ACCEPTED)
    assert (released.ownership.role, released.ownership.primary, released.ownership.epoch) == (
        Role.SECONDARY,
        B.device,
        2,
    )
    assert released.chain == (*GENESIS, GRANT, ACCEPTED)
    assert released.state == chains.verify_chain(released.chain)


def test_a_refusal_thaws_and_leaves_no_link() -> None:
    thawed = journal.thaw(frozen(), GRANT, REFUSED)
    assert thawed == started()


def test_only_the_next_grant_of_the_chain_freezes() -> None:
    stale = grant(chain_of(1, 2), 8, B, C)
    with pytest.raises(TrustError):
        journal.freeze(started(), stale)
    with pytest.raises(LocalProtocolError):
        journal.freeze(frozen(), grant(GENESIS, 8, A, C))
    with pytest.raises(RemoteProtocolError):
        journal.freeze(started(), GENESIS[0])


@pytest.mark.parametrize("by", [A, C])
def test_an_answer_of_somebody_else_changes_nothing(by: Identity) -> None:
    forged = chains.refuse(by, session_id(), txn_id(7), A.device, RefusalReason.UNKNOWN)
    with pytest.raises(HandoffError):
        journal.thaw(frozen(), GRANT, forged)


def test_an_answer_about_another_handoff_changes_nothing() -> None:
    other = chains.refuse(B, session_id(), txn_id(8), A.device, RefusalReason.UNKNOWN)
    with pytest.raises(RemoteProtocolError):
        journal.thaw(frozen(), GRANT, other)
    with pytest.raises(RemoteProtocolError):
        journal.release(frozen(), GRANT, chains.accept(B, grant(GENESIS, 8, A, B)))


def test_accepting_is_a_decision_and_a_new_primary_in_one() -> None:
    held, decision = journal.accept(None, None, (*GENESIS, GRANT, ACCEPTED), me=B.device, nonce=NONCE)
    assert (held.ownership.role, held.ownership.epoch) == (Role.PRIMARY, 2)
    assert decision == Decision(txn_id(7), A.device, Verdict.ACCEPTED, ACCEPTED)


def test_what_is_decided_is_never_decided_otherwise() -> None:
    refused = journal.refuse(None, REFUSED, B.public.identity_key, me=B.device)
    with pytest.raises(LocalProtocolError, match="refused"):
        journal.accept(None, refused, (*GENESIS, GRANT, ACCEPTED), me=B.device, nonce=NONCE)
    accepted = replace(refused, verdict=Verdict.ACCEPTED)
    with pytest.raises(LocalProtocolError, match="accepted"):
        journal.refuse(accepted, REFUSED, B.public.identity_key, me=B.device)
    assert journal.refuse(refused, REFUSED, B.public.identity_key, me=B.device) is refused


def test_an_acceptance_needs_this_devices_nonce_and_a_chain_that_continues() -> None:
    whole = (*GENESIS, GRANT, ACCEPTED)
    with pytest.raises(RemoteProtocolError):
        journal.accept(None, None, whole, me=B.device, nonce=b"m" * 16)
    with pytest.raises(LocalProtocolError):
        journal.accept(None, None, GENESIS, me=B.device, nonce=NONCE)
    with pytest.raises(TrustError):
        journal.accept(None, None, (*whole[:-1], GENESIS[0]), me=B.device, nonce=NONCE)
    known = journal.follow(chain_of(1, 3))
    with pytest.raises(RemoteProtocolError, match="stale"):
        journal.accept(known, None, whole, me=B.device, nonce=NONCE)


def test_a_chain_with_the_acceptance_settles_the_outstanding_grant() -> None:
    learned = journal.learn(frozen(), (*GENESIS, GRANT, ACCEPTED), me=A.device)
    assert learned.answer == ACCEPTED
    assert learned.held == journal.release(frozen(), GRANT, ACCEPTED)
    longer = handed((*GENESIS, GRANT, ACCEPTED), 8, B, C)
    later = journal.learn(frozen(), longer, me=A.device)
    assert later.answer == ACCEPTED
    assert (later.held.ownership.primary, later.held.ownership.epoch) == (C.device, 3)
    assert not later.forgotten


def test_a_statement_of_ones_own_that_is_not_known_shows_an_old_copy() -> None:
    assert journal.learn(started(), chain_of(1, 2), me=A.device).forgotten
    assert journal.learn(frozen(), chain_of(1, 2, 1, 3), me=A.device).forgotten
    assert journal.learn(journal.follow(chain_of(1)), chain_of(1, 2), me=B.device).forgotten
    assert not journal.learn(journal.follow(chain_of(1)), chain_of(1, 2), me=C.device).forgotten


def test_an_older_chain_teaches_nothing_and_another_history_is_refused() -> None:
    held = journal.follow(chain_of(1, 2))
    assert journal.learn(held, GENESIS, me=C.device).held is held
    with pytest.raises(TrustError, match="two histories"):
        journal.learn(held, chain_of(1, 3), me=C.device)


def test_a_fork_marks_the_original_and_starts_anew() -> None:
    child = session_id(2)
    chain = chains.create(A, child, ROOT, Parent(session_id(), 1, ROOT))
    original, begun = journal.fork(frozen(), chain, me=A.device)
    assert original.ownership.forked
    assert original.ownership.role is Role.FROZEN
    assert (begun.ownership.session, begun.ownership.role) == (child, Role.PRIMARY)


@pytest.mark.parametrize(
    "parent",
    [Parent(session_id(3), 1, ROOT), Parent(session_id(), 2, ROOT), Parent(session_id(), 1, digest(b"other")), None],
)
def test_a_fork_names_what_it_left(parent: Parent | None) -> None:
    stranger = chains.create(A, session_id(2), ROOT, parent)
    with pytest.raises(LocalProtocolError):
        journal.fork(frozen(), stranger, me=A.device)


def test_what_a_device_accepted_is_read_from_a_chain() -> None:
    chain = chain_of(1, 2, 1)
    (mine,) = journal.acceptances(chain, me=device(1).device)
    assert (mine.source, mine.verdict, mine.statement) == (device(2).device, Verdict.ACCEPTED, chain[4])
    assert journal.acceptances(chain_of(1), me=device(1).device) == ()
