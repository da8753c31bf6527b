# SPDX-License-Identifier: Apache-2.0
"""Every checker fails on a state made bad by hand, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2p_handoff.protocol import messages as msg
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.journal import Decision
from p2p_handoff.session.ownership import Role, Verdict
from p2p_handoff.session.signed import encode_signed
from p2p_handoff.session.statements import RefusalReason
from tests.explore import cast, invariants
from tests.explore.device import Device, Durable, Granted
from tests.explore.invariants import Acked, Facts, Summary

A, B = cast.device_id(0), cast.device_id(1)
TXN = cast.txn(1)
ACKED: Acked = {cast.ORIGINAL: (2,)}
PRIMARY = Facts("primary", 1, A, None, 0, forked=False, copies=((2, None),), chain_epoch=1, chain_primary=A)
SECONDARY = replace(PRIMARY, role="secondary")
Change = Callable[[Summary, Summary], tuple[Summary, Summary]]


def summaries() -> tuple[Summary, Summary]:
    """A is primary, B follows."""
    blank = Summary(A, (), (), (), (), pending=False)
    return (
        replace(blank, sessions=((cast.ORIGINAL, PRIMARY),)),
        replace(blank, me=B, sessions=((cast.ORIGINAL, SECONDARY),)),
    )


def with_facts(summary: Summary, facts: Facts) -> Summary:
    return replace(summary, sessions=((cast.ORIGINAL, facts),))


def test_a_good_state_is_good() -> None:
    assert invariants.violated(summaries(), ACKED) is None
    assert invariants.at_rest(summaries(), ACKED)


BAD: dict[str, Change] = {
    "I1": lambda a, b: (
        a,
        with_facts(b, replace(PRIMARY, primary=B, epoch=2, chain_epoch=2, chain_primary=B)),
    ),
    "I2": lambda a, b: (
        replace(a, accepted=(((B, TXN), cast.ORIGINAL, 3),)),
        replace(b, accepted=(((A, cast.txn(2)), cast.ORIGINAL, 3),)),
    ),
    "I3": lambda a, b: (with_facts(a, replace(PRIMARY, copies=((1, None),))), b),
    "I4": lambda a, b: (with_facts(a, SECONDARY), b),
    "I5": lambda a, b: (with_facts(a, replace(PRIMARY, epoch=2)), b),
    "I6": lambda a, b: (
        replace(a, granted=(((A, TXN), cast.ORIGINAL, 1, "refused"),)),
        replace(b, accepted=(((A, TXN), cast.ORIGINAL, 2),)),
    ),
}


@pytest.mark.parametrize("name", invariants.INVARIANTS)
def test_each_invariant_notices_what_it_is_for(name: str) -> None:
    assert not invariants.INVARIANTS[name](BAD[name](*summaries()), ACKED)


def test_an_epoch_that_is_granted_twice_is_noticed_unless_the_first_grant_was_refused() -> None:
    a, b = summaries()
    for end, holds in (("open", False), ("refused", True)):
        granted = (((A, TXN), cast.ORIGINAL, 1, end), ((A, cast.txn(2)), cast.ORIGINAL, 1, "open"))
        assert invariants.one_primary_an_epoch((replace(a, granted=granted), b), ACKED) is holds


def test_a_withheld_part_must_be_where_the_primary_says() -> None:
    a, b = summaries()
    moved = with_facts(b, replace(PRIMARY, copies=((2, None), (1, 0))))
    acked: Acked = {cast.ORIGINAL: (2, 1)}
    for copies, holds in (
        (((2, None), (1, None)), True),
        (((2, None), (1, 1)), False),
        (((2, None), (0, None)), False),
    ):
        kept = with_facts(a, replace(SECONDARY, copies=copies))
        assert invariants.primary_has_everything((kept, moved), acked) is holds


def test_rest_needs_an_owner_in_place_and_no_open_grant() -> None:
    a, b = summaries()
    frozen = with_facts(a, replace(PRIMARY, role="frozen", frozen=TXN, frozen_epoch=1))
    assert not invariants.at_rest((frozen, b), ACKED)
    assert not invariants.at_rest((a, replace(b, pending=True)), ACKED)
    assert not invariants.at_rest((with_facts(a, SECONDARY), b), ACKED)


def test_a_source_that_awaits_what_another_device_knows_is_noticed() -> None:
    a, b = summaries()
    frozen = with_facts(a, replace(PRIMARY, role="frozen", frozen=TXN, frozen_epoch=1))
    assert not invariants.somebody_knows((frozen, b))
    assert invariants.somebody_knows((frozen, with_facts(b, replace(SECONDARY, epoch=2, chain_epoch=2))))


# --- single steps -----------------------------------------------------------------------------------


HELD = journal.start(cast.genesis(1), me=A)
OFFER = chains.Offer(TXN, cast.key(1), HELD.state.root, (cast.PARTS[0],), cast.nonce(1, 1))
GRANT = chains.grant(cast.identity(0), HELD.state, OFFER)
ACCEPTED = chains.accept(cast.identity(1), GRANT)
REFUSED = chains.refuse(cast.identity(1), cast.ORIGINAL, TXN, A, RefusalReason.UNKNOWN)
FROZEN = Durable(held=((cast.ORIGINAL, journal.freeze(HELD, GRANT)),), grants=((TXN, Granted(GRANT, b"")),))
THAWED = Durable(held=((cast.ORIGINAL, HELD),), grants=((TXN, Granted(GRANT, None, REFUSED)),))


def test_thawing_needs_the_refusal_of_this_grant() -> None:
    assert invariants.bad_step(FROZEN, THAWED) is None
    unanswered = replace(THAWED, grants=((TXN, Granted(GRANT, None)),))
    assert invariants.bad_step(FROZEN, unanswered) == "I5: thawed without a refusal of this grant"


def test_epochs_do_not_fall() -> None:
    own = HELD.ownership
    later = replace(
        FROZEN, held=((cast.ORIGINAL, replace(HELD, ownership=replace(own, epoch=3, role=Role.SECONDARY))),)
    )
    assert invariants.bad_step(later, THAWED) == "I2: an epoch fell"


def test_decisions_do_not_change_or_go() -> None:
    decided = Durable(decisions=((TXN, Decision(TXN, A, Verdict.REFUSED, REFUSED)),))
    changed = Durable(decisions=((TXN, Decision(TXN, A, Verdict.ACCEPTED, ACCEPTED)),))
    assert invariants.bad_step(decided, decided) is None
    assert invariants.bad_step(decided, changed) == "I6: a decision changed"
    assert invariants.bad_step(decided, Durable()) == "I6: a decision changed"


def test_becoming_primary_without_a_new_decision_is_stale() -> None:
    own = replace(HELD.ownership, role=Role.SECONDARY)
    before = Durable(held=((cast.ORIGINAL, replace(HELD, ownership=own)),))
    assert invariants.bad_step(before, Durable(held=((cast.ORIGINAL, HELD),))) == "I5: accepted in a stale epoch"


def test_an_acceptance_must_answer_a_ready_of_this_run() -> None:
    held, decision = journal.accept(None, None, (*cast.genesis(1), GRANT, ACCEPTED), me=B, nonce=cast.nonce(1, 1))
    after = Durable(held=((cast.ORIGINAL, held),), decisions=((TXN, decision),))
    assert invariants.not_ready(Device(1, after), after) is None
    assert invariants.not_ready(Device(1, Durable()), after) is not None


def test_a_decision_is_stored_before_it_is_said() -> None:
    stored = Durable(decisions=((TXN, Decision(TXN, A, Verdict.REFUSED, REFUSED)),))
    refused = (0, msg.Refused(TXN, encode_signed(REFUSED), 1))
    accepted = (0, msg.Accepted(TXN, encode_signed(ACCEPTED), 1))
    assert invariants.said_too_early(stored, [refused]) is None
    assert invariants.said_too_early(Durable(), [refused]) == "I6: a decision was said before it was stored"
    assert invariants.said_too_early(stored, [accepted]) == "I6: another decision was said than was stored"
