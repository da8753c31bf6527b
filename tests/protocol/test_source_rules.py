# SPDX-License-Identifier: Apache-2.0
"""The source's rules, one sentence each, and the laws that hold over its whole table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import source_rules
from p2p_handoff.protocol.messages import Accept, Accepted, Cancel, Mode, Ready, Refused, Reject, RejectReason, Resumed
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.protocol.source_rules import step
from tests.protocol.example_messages import NONCE, PART, TXN
from tests.protocol.machine_events import SOURCE_EVENTS, source_in, source_steps

S = SourceState
BEFORE_FROZEN = (S.OFFERED, S.COPYING, S.FREEZING)
OTHER_NONCE = bytes(16)


def ready(number: int = 1, *, complete: bool = True, nonce: bytes = OTHER_NONCE) -> Ready:
    return Ready(TXN, number, complete, nonce)


def kinds(effects: tuple[src.SourceEffect, ...]) -> list[type]:
    return [type(effect) for effect in effects]


# --- laws over the whole table ----------------------------------------------------------------------


def test_only_refused_thaws_and_only_accepted_or_a_later_chain_releases() -> None:
    left = {
        (type(event), after.state)
        for machine, event, (after, _) in source_steps()
        if machine.state is S.FROZEN and after.state is not S.FROZEN
    }
    learned = {(src.LearnedAccepted, S.RELEASED), (src.LearnedLater, S.ENDED)}
    assert left == {(Refused, S.ENDED), (Accepted, S.RELEASED), *learned}


def test_a_durable_thaw_or_release_happens_nowhere_else() -> None:
    stored = {
        (machine.state, type(event), type(effect))
        for machine, event, (_, effects) in source_steps()
        for effect in effects
        if isinstance(effect, src.StoreThawed | src.StoreReleased)
    }
    assert stored == {(S.FROZEN, Refused, src.StoreThawed), (S.FROZEN, Accepted, src.StoreReleased)}


def test_in_every_step_what_is_stored_comes_before_what_is_sent() -> None:
    for _, _, (_, effects) in source_steps():
        names = [kind.__name__ for kind in kinds(effects)]
        sent = [index for index, name in enumerate(names) if name.startswith("Send")]
        assert all(index < min(sent, default=99) for index, name in enumerate(names) if name.startswith("Store"))


def test_a_grant_is_sent_only_by_a_source_that_is_frozen() -> None:
    for _, _, (after, effects) in source_steps():
        if src.SendGrant in kinds(effects):
            assert after.state is S.FROZEN


def test_a_frozen_source_keeps_its_parts_frozen() -> None:
    for machine, event, (_, effects) in source_steps():
        if machine.state is S.FROZEN and not isinstance(event, Refused):
            assert src.ThawParts not in kinds(effects)


def test_an_end_is_reported_once_and_last() -> None:
    for machine, _, (after, effects) in source_steps():
        ends = machine.state is not S.ENDED and after.state is S.ENDED
        assert [src.Ended in kinds(effects[:-1]), src.Ended in kinds(effects[-1:])] == [False, ends]


def test_parts_frozen_and_not_granted_are_thawed_at_the_end() -> None:
    for machine, event, (after, effects) in source_steps():
        if machine.state is S.FREEZING and after.state is S.ENDED:
            assert src.ThawParts in kinds(effects), event


@pytest.mark.parametrize("event", [src.RemainderLarge(), src.RemainderSmall()])
@pytest.mark.parametrize(
    ("state", "mode"),
    [(S.FREEZING, Mode.MOVE), (S.FROZEN, Mode.MOVE), (S.RELEASED, Mode.MOVE), (S.FINISHING, Mode.COPY)],
)
def test_regression_a_survey_that_ends_after_another_one_changes_nothing(
    state: SourceState, mode: Mode, event: src.SourceEvent
) -> None:
    """Accept and Ready arrived twice while the first survey ran: its answer came after the second one's."""
    machine = replace(source_in(state), mode=mode)
    assert step(machine, event) == (machine, ())


@pytest.mark.parametrize("mode", Mode)
def test_an_unlisted_message_is_the_peers_error_and_an_unlisted_event_is_ours(mode: Mode) -> None:
    rules = source_rules.MOVE_RULES if mode is Mode.MOVE else source_rules.COPY_RULES
    for state in S:
        for event in SOURCE_EVENTS:
            if (state, type(event)) not in rules:
                error = RemoteProtocolError if isinstance(event, src.SOURCE_MESSAGES) else LocalProtocolError
                with pytest.raises(error, match=f"a source that is {state.value} cannot take {type(event).__name__}"):
                    step(source_in(state, mode), event)


def test_a_copy_never_freezes_and_a_move_never_finishes() -> None:
    for machine, _, (after, effects) in source_steps():
        ownership = {src.FreezeParts, src.StoreFrozen, src.SendGrant, src.SendQuery, src.StoreReleased}
        if machine.mode is not Mode.MOVE:
            assert not ownership & set(kinds(effects))
            assert after.state not in {S.FREEZING, S.FROZEN, S.RELEASED} or machine.state is after.state
        else:
            assert src.SendFinish not in kinds(effects)


def test_both_modes_list_only_states_that_they_reach() -> None:
    for rules, absent in (
        (source_rules.MOVE_RULES, {S.FINISHING}),
        (source_rules.COPY_RULES, {S.FREEZING, S.FROZEN, S.RELEASED}),
    ):
        reached = {S.OFFERED, *(rule.then for rule in rules.values())}
        assert {state for state, _ in rules} == reached == set(S) - absent


# --- before frozen ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", BEFORE_FROZEN)
def test_before_frozen_the_source_may_give_up_freely(state: SourceState) -> None:
    after, effects = step(source_in(state), src.CancelAsked("enough"))
    assert after.state is S.ENDED
    assert effects[0] == src.SendCancel(RejectReason.CANCELLED, "enough")
    assert effects[-1] == src.Ended(Outcome(Result.CANCELLED, RejectReason.CANCELLED, "enough"))


@pytest.mark.parametrize("state", BEFORE_FROZEN)
@pytest.mark.parametrize(
    ("reason", "result"), [(RejectReason.CANCELLED, Result.CANCELLED), (RejectReason.NO_SPACE, Result.FAILED)]
)
def test_before_frozen_the_targets_cancel_ends_it(state: SourceState, reason: RejectReason, result: Result) -> None:
    after, effects = step(source_in(state), Cancel(TXN, reason, "why"))
    assert after.state is S.ENDED
    assert effects[-1] == src.Ended(Outcome(result, reason, "why"))


@pytest.mark.parametrize("state", [S.OFFERED, S.COPYING])
def test_a_rejection_ends_it_and_says_why(state: SourceState) -> None:
    after, effects = step(source_in(state), Reject(TXN, RejectReason.BUSY, "later"))
    assert after.state is S.ENDED
    assert effects == (src.Ended(Outcome(Result.REJECTED, RejectReason.BUSY, "later")),)


def test_an_offer_that_nobody_answers_expires() -> None:
    _, effects = step(source_in(S.OFFERED), src.Expired())
    assert effects == (
        src.SendCancel(RejectReason.EXPIRED, ""),
        src.Ended(Outcome(Result.FAILED, RejectReason.EXPIRED)),
    )


def test_an_accepted_offer_starts_the_first_round_with_the_accepted_parts() -> None:
    after, effects = step(source_in(S.OFFERED, parts=(), round=0, nonce=b""), Accept(TXN, (PART,)))
    assert (after.state, after.parts, after.round) == (S.COPYING, (PART,), 1)
    assert effects == (src.SendRound(1, fresh=False),)


def test_a_complete_round_is_surveyed() -> None:
    after, effects = step(source_in(S.COPYING, nonce=b""), ready(nonce=NONCE))
    assert (after.nonce, effects) == (NONCE, (src.Survey(),))


def test_a_round_with_gone_objects_is_followed_by_one_of_a_fresh_picture() -> None:
    after, effects = step(source_in(S.COPYING, nonce=b""), ready(complete=False))
    assert (after.round, after.nonce, effects) == (2, b"", (src.SendRound(2, fresh=True),))


def test_a_large_remainder_is_copied_in_another_round() -> None:
    after, effects = step(source_in(S.COPYING), src.RemainderLarge())
    assert (after.round, after.nonce, effects) == (2, b"", (src.SendRound(2, fresh=False),))


def test_a_small_remainder_freezes_a_move_and_finishes_a_copy() -> None:
    after, effects = step(source_in(S.COPYING), src.RemainderSmall())
    assert (after.state, effects) == (S.FREEZING, (src.FreezeParts(),))
    after, effects = step(source_in(S.COPYING, Mode.COPY), src.RemainderSmall())
    assert (after.state, effects) == (S.FINISHING, (src.SendFinish(),))


def test_a_ready_of_another_round_changes_nothing() -> None:
    machine = source_in(S.COPYING)
    assert step(machine, ready(2)) == (machine, ())


def test_a_repeated_ready_renews_the_nonce_and_is_not_surveyed_twice() -> None:
    machine = source_in(S.COPYING)
    assert step(machine, ready(nonce=OTHER_NONCE)) == (replace(machine, nonce=OTHER_NONCE), ())


@pytest.mark.parametrize("state", [S.OFFERED, S.COPYING])
def test_a_new_connection_offers_again(state: SourceState) -> None:
    after, effects = step(source_in(state), src.Connected())
    assert (after.state, effects) == (state, (src.SendOffer(),))


@pytest.mark.parametrize("survey", [src.RemainderSmall(), src.RemainderLarge()])
def test_a_survey_begun_before_a_new_connection_decides_nothing(survey: src.SourceEvent) -> None:
    machine, _ = step(source_in(S.COPYING), src.Connected())
    assert step(machine, survey) == (machine, ())


def test_a_target_that_comes_back_gets_the_current_round_again_and_may_have_chosen_anew() -> None:
    after, effects = step(source_in(S.COPYING, parts=(), round=3), Accept(TXN, (PART,)))
    assert (after.parts, after.nonce, effects) == ((PART,), b"", (src.SendRound(3, fresh=False),))


def test_a_failed_freeze_thaws_and_says_why() -> None:
    _, effects = step(source_in(S.FREEZING), src.SourceFailed("unreadable"))
    assert effects == (
        src.SendCancel(RejectReason.FAILED, "unreadable"),
        src.ThawParts(),
        src.Ended(Outcome(Result.FAILED, RejectReason.FAILED, "unreadable")),
    )


def test_a_freeze_that_ends_after_the_handoff_is_thawed() -> None:
    assert step(source_in(S.ENDED), src.FinalTaken(b"root"))[1] == (src.ThawParts(),)


def test_the_grant_follows_the_durable_freeze_and_quotes_the_nonce() -> None:
    after, effects = step(source_in(S.FREEZING), src.FinalTaken(b"root"))
    assert (after.state, effects) == (S.FROZEN, (src.StoreFrozen(b"root"), src.SendGrant(NONCE)))


# --- frozen and after -------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [src.Disconnected(), src.SourceFailed("x"), ready(), Accept(TXN, (PART,))])
def test_nothing_that_goes_wrong_thaws_a_frozen_source(event: src.SourceEvent) -> None:
    assert step(source_in(S.FROZEN), event)[0] == source_in(S.FROZEN)


def test_a_frozen_source_that_lost_its_connection_is_in_doubt() -> None:
    assert step(source_in(S.FROZEN), src.Disconnected())[1] == (src.InDoubt(),)


def test_a_timeout_never_thaws() -> None:
    with pytest.raises(LocalProtocolError):
        step(source_in(S.FROZEN), src.Expired())


def test_a_frozen_source_that_reconnects_grants_again() -> None:
    assert step(source_in(S.FROZEN), src.Connected())[1] == (src.SendGrant(NONCE),)


def test_a_frozen_source_that_restarted_asks() -> None:
    assert step(source_in(S.FROZEN, nonce=b""), src.Connected())[1] == (src.SendQuery(),)


def test_cancelling_a_frozen_source_asks_now_and_on_every_later_connection() -> None:
    machine, effects = step(source_in(S.FROZEN), src.CancelAsked("enough"))
    assert effects == (src.SendQuery(),)
    assert step(machine, src.Connected())[1] == (src.SendQuery(),)


def test_the_targets_cancel_is_not_durable_so_a_frozen_source_asks() -> None:
    after, effects = step(source_in(S.FROZEN), Cancel(TXN, RejectReason.CANCELLED, ""))
    assert (after.state, effects) == (S.FROZEN, (src.SendQuery(),))


@pytest.mark.parametrize(("cancel_asked", "result"), [(True, Result.CANCELLED), (False, Result.FAILED)])
def test_refused_thaws_durably_first(cancel_asked: bool, result: Result) -> None:
    _, effects = step(source_in(S.FROZEN, cancel_asked=cancel_asked), Refused(TXN, b"signed", 0))
    assert effects[:2] == (src.StoreThawed(b"signed"), src.ThawParts())
    assert isinstance(effects[2], src.Ended)
    assert effects[2].outcome.result is result


def test_accepted_releases_durably_first_even_after_a_cancel() -> None:
    after, effects = step(source_in(S.FROZEN, cancel_asked=True), Accepted(TXN, b"signed", 0))
    assert (after.state, effects) == (S.RELEASED, (src.StoreReleased(b"signed"), src.ReleaseParts()))


def test_anybodys_chain_that_holds_the_acceptance_releases_durably_first() -> None:
    after, effects = step(source_in(S.FROZEN), src.LearnedAccepted(b"chain"))
    assert (after.state, effects) == (S.RELEASED, (src.StoreLearned(b"chain"), src.ReleaseParts()))


def test_a_chain_that_went_on_without_this_handoff_ends_it_in_secondary() -> None:
    after, effects = step(source_in(S.FROZEN), src.LearnedLater(b"chain"))
    assert (after.state, effects[:2]) == (S.ENDED, (src.StoreLearned(b"chain"), src.ReleaseParts()))
    assert isinstance(effects[2], src.Ended)
    assert effects[2].outcome.reason is RejectReason.STALE


@pytest.mark.parametrize("late", [src.LearnedAccepted(b"chain"), src.LearnedLater(b"chain")])
@pytest.mark.parametrize("state", [S.RELEASED, S.ENDED])
def test_a_chain_after_the_answer_changes_nothing(state: S, late: src.SourceEvent) -> None:
    assert step(source_in(state), late) == (source_in(state), ())


def test_resumed_completes_a_released_source() -> None:
    _, effects = step(source_in(S.RELEASED), Resumed(TXN, bytes(32), 0, "", 0))
    assert effects == (src.Ended(Outcome(Result.DONE)),)


def test_a_released_source_that_loses_the_connection_is_done_and_says_what_it_did_not_see() -> None:
    _, effects = step(source_in(S.RELEASED), src.Disconnected())
    assert isinstance(effects[0], src.Ended)
    assert effects[0].outcome.result is Result.DONE
    assert "before the other side said" in effects[0].outcome.text


def test_a_source_released_by_a_chain_asks_the_target_when_it_appears() -> None:
    assert step(source_in(S.RELEASED), src.Connected())[1] == (src.SendQuery(),)


# --- a copy -----------------------------------------------------------------------------------------


def test_a_copy_that_reconnects_while_finishing_serves_a_target_that_forgot_and_one_that_did_not() -> None:
    after, effects = step(source_in(S.FINISHING, Mode.COPY), src.Connected())
    assert (after.state, effects) == (S.FINISHING, (src.SendOffer(), src.SendFinish()))
    after, effects = step(after, Accept(TXN, (PART,)))
    assert (after.state, effects) == (S.COPYING, (src.SendRound(1, fresh=False),))


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (Resumed(TXN, bytes(32), 0, "", 0), Result.DONE),
        (src.CancelAsked(""), Result.CANCELLED),
        (src.SourceFailed("unreachable"), Result.FAILED),
        (Cancel(TXN, RejectReason.NO_SPACE, ""), Result.FAILED),
        (Reject(TXN, RejectReason.DECLINED, ""), Result.REJECTED),
    ],
)
def test_a_finishing_copy_ends(event: src.SourceEvent, result: Result) -> None:
    after, effects = step(source_in(S.FINISHING, Mode.COPY), event)
    assert after.state is S.ENDED
    assert isinstance(effects[-1], src.Ended)
    assert effects[-1].outcome.result is result
