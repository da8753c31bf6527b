# SPDX-License-Identifier: Apache-2.0
"""The target's rules, one sentence each, and the laws that hold over its whole table."""

from __future__ import annotations

import pytest

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol import target_rules
from p2p_handoff.protocol.messages import Cancel, Finish, Mode, Query, RejectReason, Request, Round
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.protocol.target_rules import step
from tests.protocol.example_messages import PART, SESSION, TXN
from tests.protocol.machine_events import TARGET_EVENTS, target_in, target_steps

T = TargetState
UNDECIDED = (T.NEW, T.REVIEWING, T.COPYING, T.READY, T.SEALING)
ANSWERED = (T.ACCEPTED, T.RESUMED, T.REFUSED)
REQUEST = Request(TXN, b"manifest", (PART,), 600)
QUERY = Query(TXN, SESSION, b"g")
FINISH = Finish(TXN, b"manifest")
GRANT = tgt.GrantVerified(b"manifest")
STRANGE_GRANT = tgt.GrantUnusable("another nonce")
NO_SPACE = RejectReason.NO_SPACE


def kinds(effects: tuple[tgt.TargetEffect, ...]) -> list[type]:
    return [type(effect) for effect in effects]


# --- laws over the whole table ----------------------------------------------------------------------


def test_a_decision_is_never_changed() -> None:
    for machine, event, (after, effects) in target_steps():
        if machine.state in ANSWERED:
            assert after.state is machine.state or (machine.state, after.state) == (T.ACCEPTED, T.RESUMED), event
            assert not {tgt.StoreAccepted, tgt.StoreRefused} & set(kinds(effects))


def test_every_change_to_accepted_or_refused_is_stored_in_the_same_step() -> None:
    for machine, _, (after, effects) in target_steps():
        if machine.mode is Mode.MOVE and after.state is not machine.state:
            assert (tgt.StoreAccepted in kinds(effects)) == (after.state is T.ACCEPTED)
            assert (tgt.StoreRefused in kinds(effects)) == (after.state is T.REFUSED)


def test_in_every_step_what_is_stored_comes_before_anything_else() -> None:
    for _, _, (_, effects) in target_steps():
        stored = [index for index, kind in enumerate(kinds(effects)) if kind.__name__.startswith("Store")]
        assert stored in ([], [0])


def test_only_sealed_content_is_accepted() -> None:
    accepting = {
        (machine.state, type(event))
        for machine, event, (_, effects) in target_steps()
        if tgt.StoreAccepted() in effects
    }
    assert accepting == {(T.SEALING, tgt.Sealed)}


def test_a_decision_is_sent_only_when_there_is_one() -> None:
    for _, _, (after, effects) in target_steps():
        if tgt.SendDecision in kinds(effects):
            assert after.state in ANSWERED


@pytest.mark.parametrize("event", [QUERY, STRANGE_GRANT])
@pytest.mark.parametrize("state", T)
def test_in_every_state_a_frozen_source_gets_a_stored_answer(state: TargetState, event: tgt.TargetEvent) -> None:
    after, effects = step(target_in(state), event)
    assert after.state in ANSWERED
    assert tgt.SendDecision() in effects


def test_an_end_is_reported_once() -> None:
    final = {T.RESUMED, T.REFUSED, T.ENDED}
    for machine, _, (after, effects) in target_steps():
        reported = kinds(effects).count(tgt.TargetEnded)
        assert reported == (machine.state not in final and after.state in final)


def test_what_is_staged_is_abandoned_when_nothing_was_accepted() -> None:
    for machine, event, (after, effects) in target_steps():
        ends = machine.state in UNDECIDED and after.state in {T.REFUSED, T.ENDED}
        if ends and not isinstance(event, tgt.UserRejected):
            assert tgt.AbandonStaging() in effects, event


def test_what_was_accepted_is_never_abandoned() -> None:
    for machine, _, (_, effects) in target_steps():
        if machine.state in {T.ACCEPTED, T.RESUMED}:
            assert tgt.AbandonStaging() not in effects


@pytest.mark.parametrize("mode", Mode)
def test_an_unlisted_message_is_the_peers_error_and_an_unlisted_event_is_ours(mode: Mode) -> None:
    rules = target_rules.MOVE_RULES if mode is Mode.MOVE else target_rules.COPY_RULES
    for state in T:
        for event in TARGET_EVENTS:
            if (state, type(event)) not in rules:
                error = RemoteProtocolError if isinstance(event, tgt.TARGET_MESSAGES) else LocalProtocolError
                with pytest.raises(error, match=f"a target that is {state.value} cannot take {type(event).__name__}"):
                    step(target_in(state, mode), event)


def test_a_copy_stores_nothing_and_knows_no_grants() -> None:
    for machine, event, (after, effects) in target_steps():
        if machine.mode is not Mode.MOVE:
            assert not isinstance(event, tgt.GrantVerified | tgt.GrantUnusable | Query)
            assert not {tgt.StoreAccepted, tgt.StoreRefused, tgt.SendDecision} & set(kinds(effects))
            assert after.state is not T.REFUSED


def test_both_modes_list_only_states_that_they_reach() -> None:
    for rules, absent in ((target_rules.MOVE_RULES, set[TargetState]()), (target_rules.COPY_RULES, {T.REFUSED})):
        reached = {T.NEW, *(rule.then for rule in rules.values())}
        assert {state for state, _ in rules} == reached == set(T) - absent


# --- review -----------------------------------------------------------------------------------------


def test_an_offer_is_shown_once() -> None:
    after, effects = step(target_in(T.NEW), REQUEST)
    assert (after.state, effects) == (T.REVIEWING, (tgt.AskUser(),))
    assert step(after, REQUEST) == (after, ())


def test_a_yes_says_which_parts() -> None:
    after, effects = step(target_in(T.REVIEWING, parts=()), tgt.UserAccepted((PART,)))
    assert (after.state, after.parts, effects) == (T.COPYING, (PART,), (tgt.SendAccept((PART,)),))


def test_a_no_is_said_again_to_a_source_that_missed_it() -> None:
    after, effects = step(target_in(T.REVIEWING), tgt.UserRejected(NO_SPACE, "full"))
    assert (after.state, effects[0]) == (T.ENDED, tgt.SendReject(NO_SPACE, "full"))
    assert step(after, REQUEST) == (after, (tgt.SendReject(NO_SPACE, "full"),))


@pytest.mark.parametrize("state", [T.NEW, T.REVIEWING, T.COPYING, T.READY])
def test_before_a_grant_this_side_may_cancel_freely_and_says_so_again(state: TargetState) -> None:
    after, effects = step(target_in(state), tgt.TargetCancelAsked("enough"))
    assert after.state is T.ENDED
    assert effects[0] == tgt.TargetSendCancel(RejectReason.CANCELLED, "enough")
    assert step(after, REQUEST)[1] == (tgt.SendReject(RejectReason.CANCELLED, "enough"),)


@pytest.mark.parametrize("state", [T.NEW, T.REVIEWING, T.COPYING, T.READY])
def test_before_a_grant_the_sources_cancel_ends_it(state: TargetState) -> None:
    after, effects = step(target_in(state), Cancel(TXN, RejectReason.FAILED, "disk"))
    assert after.state is T.ENDED
    assert effects[-1] == tgt.TargetEnded(Outcome(Result.FAILED, RejectReason.FAILED, "disk"))


@pytest.mark.parametrize("state", [T.NEW, T.REVIEWING, T.COPYING, T.READY])
def test_before_a_grant_an_absent_source_is_given_up(state: TargetState) -> None:
    after, effects = step(target_in(state), tgt.Abandoned())
    assert after.state is T.ENDED
    assert isinstance(effects[-1], tgt.TargetEnded)
    assert effects[-1].outcome.reason is RejectReason.EXPIRED


# --- rounds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [T.COPYING, T.READY])
def test_a_new_round_is_fetched(state: TargetState) -> None:
    after, effects = step(target_in(state), Round(TXN, 2, b"manifest"))
    assert (after.state, after.round, effects) == (T.COPYING, 2, (tgt.FetchRound(2, b"manifest"),))


@pytest.mark.parametrize("state", [T.COPYING, T.READY])
def test_a_repeated_round_is_not_fetched_twice(state: TargetState) -> None:
    machine = target_in(state, round=2)
    assert step(machine, Round(TXN, 2, b"manifest")) == (machine, ())


@pytest.mark.parametrize("complete", [True, False])
def test_a_fetched_round_is_reported_with_a_nonce(complete: bool) -> None:
    after, effects = step(target_in(T.COPYING), tgt.Fetched(1, complete))
    assert (after.state, effects) == (T.READY, (tgt.SendReady(1, complete),))


@pytest.mark.parametrize("state", [T.COPYING, T.READY])
def test_a_source_that_comes_back_hears_the_answer_again_and_starts_its_round_again(state: TargetState) -> None:
    after, effects = step(target_in(state, round=2), REQUEST)
    assert (after.state, effects) == (T.COPYING, (tgt.SendAccept((PART,)),))
    assert step(after, tgt.Fetched(2, complete=True)) == (after, ())
    assert step(after, Round(TXN, 2, b""))[1] == (tgt.FetchRound(2, b""),)


def test_a_round_that_cannot_be_stored_ends_it_and_says_why() -> None:
    after, effects = step(target_in(T.COPYING), tgt.FetchFailed(NO_SPACE, "full"))
    assert after.state is T.ENDED
    assert effects[0] == tgt.TargetSendCancel(NO_SPACE, "full")


# --- grant and decision -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", [T.READY, T.COPYING, T.SEALING])
def test_a_grant_that_quotes_this_devices_nonce_is_sealed(state: TargetState) -> None:
    after, effects = step(target_in(state), GRANT)
    assert (after.state, effects) == (T.SEALING, (tgt.SealGranted(b"manifest"),))


@pytest.mark.parametrize("state", UNDECIDED)
def test_a_grant_that_cannot_be_used_is_durably_refused(state: TargetState) -> None:
    after, effects = step(target_in(state), STRANGE_GRANT)
    assert after.state is T.REFUSED
    assert effects[:2] == (tgt.StoreRefused("another nonce"), tgt.SendDecision())


@pytest.mark.parametrize("state", UNDECIDED)
def test_a_query_before_the_commit_point_is_durably_refused(state: TargetState) -> None:
    after, effects = step(target_in(state), QUERY)
    assert after.state is T.REFUSED
    assert kinds(effects[:2]) == [tgt.StoreRefused, tgt.SendDecision]


def test_sealed_content_is_the_commit_point() -> None:
    after, effects = step(target_in(T.SEALING), tgt.Sealed())
    assert (after.state, effects) == (T.ACCEPTED, (tgt.StoreAccepted(), tgt.SendDecision(), tgt.Commit()))


def test_a_seal_that_fails_is_refused() -> None:
    after, effects = step(target_in(T.SEALING), tgt.SealFailed(NO_SPACE, "full"))
    assert (after.state, effects[0]) == (T.REFUSED, tgt.StoreRefused("full"))


def test_cancelling_after_a_grant_is_a_refusal() -> None:
    after, effects = step(target_in(T.SEALING), tgt.TargetCancelAsked("enough"))
    assert (after.state, effects[0]) == (T.REFUSED, tgt.StoreRefused("enough"))


@pytest.mark.parametrize("event", [Cancel(TXN, RejectReason.FAILED, ""), tgt.Abandoned(), REQUEST])
def test_after_a_grant_a_source_can_neither_cancel_nor_be_given_up(event: tgt.TargetEvent) -> None:
    assert step(target_in(T.SEALING), event) == (target_in(T.SEALING), ())


def test_the_source_hears_the_decision_before_it_hears_that_the_session_is_in_place() -> None:
    after, effects = step(target_in(T.ACCEPTED), tgt.Committed())
    assert after.state is T.RESUMED
    assert kinds(effects) == [tgt.SendDecision, tgt.SendResumed, tgt.TargetEnded]


@pytest.mark.parametrize("event", [QUERY, GRANT, STRANGE_GRANT, REQUEST])
def test_whatever_asks_again_gets_the_same_answer(event: tgt.TargetEvent) -> None:
    assert step(target_in(T.ACCEPTED), event)[1] == (tgt.SendDecision(),)
    assert step(target_in(T.REFUSED), event)[1] == (tgt.SendDecision(),)
    assert step(target_in(T.RESUMED), event)[1] == (tgt.SendDecision(), tgt.SendResumed())


@pytest.mark.parametrize("state", [T.ACCEPTED, T.RESUMED, T.REFUSED, T.ENDED])
@pytest.mark.parametrize(
    "late", [tgt.Fetched(1, complete=True), tgt.FetchFailed(NO_SPACE, ""), tgt.Sealed(), tgt.SealFailed(NO_SPACE, "")]
)
def test_work_that_ends_after_the_decision_changes_nothing(state: TargetState, late: tgt.TargetEvent) -> None:
    assert step(target_in(state), late) == (target_in(state), ())


@pytest.mark.parametrize("late", [tgt.Fetched(1, complete=True), tgt.FetchFailed(NO_SPACE, "")])
@pytest.mark.parametrize("state", [T.READY, T.SEALING])
def test_a_round_that_ends_late_does_not_disturb_what_followed(state: TargetState, late: tgt.TargetEvent) -> None:
    assert step(target_in(state), late) == (target_in(state), ())


@pytest.mark.parametrize("state", [T.REFUSED, T.ENDED])
def test_a_yes_that_comes_too_late_leaves_no_staging(state: TargetState) -> None:
    assert step(target_in(state), tgt.UserAccepted((PART,))) == (target_in(state), (tgt.AbandonStaging(),))


@pytest.mark.parametrize("event", [GRANT, STRANGE_GRANT, QUERY])
def test_a_source_that_froze_while_this_side_ended_gets_a_stored_refusal(event: tgt.TargetEvent) -> None:
    after, effects = step(target_in(T.ENDED), event)
    assert after.state is T.REFUSED
    assert kinds(effects) == [tgt.StoreRefused, tgt.SendDecision]


# --- a copy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [T.READY, T.SEALING])
def test_finish_seals_a_copy_again_after_a_reconnection_too(state: TargetState) -> None:
    after, effects = step(target_in(state, Mode.COPY), FINISH)
    assert (after.state, effects) == (T.SEALING, (tgt.SealGranted(b"manifest"),))


def test_a_sealed_copy_is_put_in_place_and_reported() -> None:
    machine, effects = step(target_in(T.SEALING, Mode.COPY), tgt.Sealed())
    assert effects == (tgt.Commit(),)
    machine, effects = step(machine, tgt.Committed())
    assert kinds(effects) == [tgt.SendResumed, tgt.TargetEnded]
    assert step(machine, FINISH)[1] == (tgt.SendResumed(),)


@pytest.mark.parametrize("state", [T.REVIEWING, T.COPYING, T.ENDED])
def test_a_finish_that_came_with_a_repeated_offer_is_void_where_the_offer_is_answered(state: TargetState) -> None:
    machine = target_in(state, Mode.COPY)
    assert step(machine, FINISH) == (machine, ())


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (tgt.SealFailed(NO_SPACE, "full"), Result.FAILED),
        (tgt.TargetCancelAsked("enough"), Result.CANCELLED),
        (tgt.Abandoned(), Result.FAILED),
        (Cancel(TXN, RejectReason.CANCELLED, ""), Result.CANCELLED),
    ],
)
def test_a_copy_may_end_while_it_is_sealed(event: tgt.TargetEvent, result: Result) -> None:
    after, effects = step(target_in(T.SEALING, Mode.COPY), event)
    assert after.state is T.ENDED
    assert isinstance(effects[-1], tgt.TargetEnded)
    assert effects[-1].outcome.result is result
