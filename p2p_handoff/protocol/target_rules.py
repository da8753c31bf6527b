# SPDX-License-Identifier: Apache-2.0
"""The target's half of a handoff as tables of transitions, one for a move, one for a copy. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §7. ``step(machine, event)`` returns the next machine and effects that the
shell carries out in order; their terms are in ``target``. A pair of state and event that the table does not list is
an error: the peer's when the event is a message, else ours.

Rules: the target decides, once per txn and durably, before it says so. StoreAccepted is the commit point. A Query, a
grant that quotes another nonce, or anything that goes wrong after a grant is answered by a stored REFUSED.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from p2p_handoff.protocol import rules
from p2p_handoff.protocol.messages import Cancel, Finish, Mode, Query, RejectReason, Request, Round
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.rules import only
from p2p_handoff.protocol.target import (
    TARGET_MESSAGES,
    Abandoned,
    AbandonStaging,
    AskUser,
    Commit,
    Committed,
    Fetched,
    FetchFailed,
    FetchRound,
    GrantUnusable,
    GrantVerified,
    Sealed,
    SealFailed,
    SealGranted,
    SendAccept,
    SendDecision,
    SendReady,
    SendReject,
    SendResumed,
    StoreAccepted,
    StoreRefused,
    Target,
    TargetCancelAsked,
    TargetEffect,
    TargetEnded,
    TargetEvent,
    TargetSendCancel,
    TargetState,
    UserAccepted,
    UserRejected,
)

Step = tuple[Target, tuple[TargetEffect, ...]]
Action = Callable[[Target, Any], Step]
Rule = rules.Rule[Target, TargetState, TargetEffect]


def step(machine: Target, event: TargetEvent) -> Step:
    """Apply one event.

    Returns:
        The next machine and the effects to carry out in order.

    Raises:
        RemoteProtocolError: The peer sent a message that has no place in this state.
        LocalProtocolError: This side's shell raised an event that has no place in this state.
    """
    table = MOVE_RULES if machine.mode is Mode.MOVE else COPY_RULES
    return rules.apply_rule(table, machine, event, role="target", messages=TARGET_MESSAGES)


# --- guards -----------------------------------------------------------------------------------------


def _of_this_round(machine: Target, event: Fetched) -> bool:
    """Its number is the current round's."""
    return event.number == machine.round


def _of_another_round(machine: Target, event: Round) -> bool:
    """Its number is not the current round's."""
    return event.number != machine.round


# --- actions ----------------------------------------------------------------------------------------


_nothing: Final[Action] = only()


def _end(machine: Target, outcome: Outcome, *effects: TargetEffect) -> Step:
    return replace(machine, outcome=outcome), (*effects, TargetEnded(outcome))


def _take(machine: Target, event: UserAccepted) -> Step:
    return replace(machine, parts=event.parts), (SendAccept(event.parts),)


def _take_again(machine: Target, _event: Request) -> Step:
    # What an older connection's round still brings is not reported: the source starts its round again.
    return replace(machine, round=0), (SendAccept(machine.parts),)


def _decline(machine: Target, event: UserRejected) -> Step:
    outcome = Outcome(Result.REJECTED, event.reason, event.text)
    return _end(machine, outcome, SendReject(event.reason, event.text))


def _decline_again(machine: Target, _event: Request) -> Step:
    assert machine.outcome is not None
    return machine, (SendReject(machine.outcome.reason or RejectReason.FAILED, machine.outcome.text),)


def _fetch(machine: Target, event: Round) -> Step:
    return replace(machine, round=event.number), (FetchRound(event.number, event.manifest),)


def _fetched(machine: Target, event: Fetched) -> Step:
    return machine, (SendReady(event.number, event.complete),)


def _give_up(machine: Target, event: FetchFailed | SealFailed) -> Step:
    outcome = Outcome(Result.FAILED, event.reason, event.text)
    return _end(machine, outcome, TargetSendCancel(event.reason, event.text), AbandonStaging())


def _seal(machine: Target, event: GrantVerified | Finish) -> Step:
    return machine, (SealGranted(event.manifest),)


def _refuse(machine: Target, outcome: Outcome) -> Step:
    return _end(machine, outcome, StoreRefused(outcome.text), SendDecision(), AbandonStaging())


def _refuse_queried(machine: Target, _event: Query) -> Step:
    return _refuse(machine, Outcome(Result.CANCELLED, RejectReason.CANCELLED, "the other device gave up"))


def _refuse_cancelled(machine: Target, event: TargetCancelAsked) -> Step:
    return _refuse(machine, Outcome(Result.CANCELLED, RejectReason.CANCELLED, event.text))


def _refuse_unusable(machine: Target, event: GrantUnusable) -> Step:
    return _refuse(machine, Outcome(Result.FAILED, RejectReason.FAILED, event.text))


def _refuse_unsealed(machine: Target, event: SealFailed) -> Step:
    return _refuse(machine, Outcome(Result.FAILED, event.reason, event.text))


def _peer_cancelled(machine: Target, event: Cancel) -> Step:
    result = Result.CANCELLED if event.reason is RejectReason.CANCELLED else Result.FAILED
    return _end(machine, Outcome(result, event.reason, event.text), AbandonStaging())


def _user_cancelled(machine: Target, event: TargetCancelAsked) -> Step:
    reason = RejectReason.CANCELLED
    outcome = Outcome(Result.CANCELLED, reason, event.text)
    return _end(machine, outcome, TargetSendCancel(reason, event.text), AbandonStaging())


def _abandoned(machine: Target, _event: Abandoned) -> Step:
    outcome = Outcome(Result.FAILED, RejectReason.EXPIRED, "the other device did not come back in time")
    return _end(machine, outcome, AbandonStaging())


# --- the tables -------------------------------------------------------------------------------------

_S = TargetState
Rules = dict[tuple[TargetState, type], Rule]

_DONE: Final = TargetEnded(Outcome(Result.DONE))
_REFUSE_AGAIN: Final = only(StoreRefused("this device does not take part in the handoff any more"), SendDecision())
_WORK: Final = (Fetched, FetchFailed, Sealed, SealFailed)
"""Results of work that may have been under way when the state moved on."""
_WISHES: Final = (TargetCancelAsked, Abandoned)

_COMMON: Final[Rules] = {
    (_S.NEW, Request): Rule(_S.REVIEWING, only(AskUser())),
    (_S.NEW, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.NEW, TargetCancelAsked): Rule(_S.ENDED, _user_cancelled),
    (_S.NEW, Abandoned): Rule(_S.ENDED, _abandoned),
    (_S.REVIEWING, Request): Rule(_S.REVIEWING, _nothing),
    (_S.REVIEWING, UserAccepted): Rule(_S.COPYING, _take),
    (_S.REVIEWING, UserRejected): Rule(_S.ENDED, _decline),
    (_S.REVIEWING, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.REVIEWING, TargetCancelAsked): Rule(_S.ENDED, _user_cancelled),
    (_S.REVIEWING, Abandoned): Rule(_S.ENDED, _abandoned),
    (_S.COPYING, Request): Rule(_S.COPYING, _take_again),
    # A source that reconnects may announce one round twice. A second Ready would void the nonce that it grants upon.
    (_S.COPYING, Round): Rule(_S.COPYING, _fetch, when=_of_another_round),
    (_S.COPYING, Fetched): Rule(_S.READY, _fetched, when=_of_this_round),
    (_S.COPYING, FetchFailed): Rule(_S.ENDED, _give_up),
    (_S.COPYING, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.COPYING, TargetCancelAsked): Rule(_S.ENDED, _user_cancelled),
    (_S.COPYING, Abandoned): Rule(_S.ENDED, _abandoned),
    (_S.READY, Request): Rule(_S.COPYING, _take_again),
    (_S.READY, Round): Rule(_S.COPYING, _fetch, when=_of_another_round),
    (_S.READY, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.READY, TargetCancelAsked): Rule(_S.ENDED, _user_cancelled),
    (_S.READY, Abandoned): Rule(_S.ENDED, _abandoned),
    # The same round, fetched again after a reconnection: the Ready that is out holds.
    **{(_S.READY, late): Rule(_S.READY, _nothing) for late in (Fetched, FetchFailed)},
    (_S.SEALING, Request): Rule(_S.SEALING, _nothing),
    **{(_S.SEALING, late): Rule(_S.SEALING, _nothing) for late in (Fetched, FetchFailed)},
    # From here on nothing is taken back.
    **{(_S.ACCEPTED, late): Rule(_S.ACCEPTED, _nothing) for late in (*_WORK, *_WISHES, Cancel)},
    **{(_S.RESUMED, late): Rule(_S.RESUMED, _nothing) for late in (*_WORK, *_WISHES, Cancel)},
    # The source missed how it ended.
    (_S.ENDED, Request): Rule(_S.ENDED, _decline_again),
    **{(_S.ENDED, late): Rule(_S.ENDED, _nothing) for late in (*_WORK, *_WISHES, UserRejected, Round, Cancel)},
    (_S.ENDED, UserAccepted): Rule(_S.ENDED, only(AbandonStaging())),
}

_UNDECIDED: Final = (_S.NEW, _S.REVIEWING, _S.COPYING, _S.READY, _S.SEALING)

MOVE_RULES: Final[Rules] = {
    **_COMMON,
    **{(state, Query): Rule(_S.REFUSED, _refuse_queried) for state in _UNDECIDED},
    **{(state, GrantUnusable): Rule(_S.REFUSED, _refuse_unusable) for state in _UNDECIDED},
    # The nonce is in memory only, so the grant follows this device's own Ready, whatever the source sent in between.
    (_S.COPYING, GrantVerified): Rule(_S.SEALING, _seal),
    (_S.READY, GrantVerified): Rule(_S.SEALING, _seal),
    (_S.SEALING, GrantVerified): Rule(_S.SEALING, _seal),
    (_S.SEALING, Sealed): Rule(_S.ACCEPTED, only(StoreAccepted(), SendDecision(), Commit())),
    (_S.SEALING, SealFailed): Rule(_S.REFUSED, _refuse_unsealed),
    (_S.SEALING, TargetCancelAsked): Rule(_S.REFUSED, _refuse_cancelled),
    # A frozen source cannot cancel and will come back: it asks by Query.
    (_S.SEALING, Cancel): Rule(_S.SEALING, _nothing),
    (_S.SEALING, Abandoned): Rule(_S.SEALING, _nothing),
    **{
        (_S.ACCEPTED, again): Rule(_S.ACCEPTED, only(SendDecision()))
        for again in (Request, GrantVerified, GrantUnusable, Query)
    },
    # The decision again: the source may have come back since, and must have it before it hears of the resumption.
    (_S.ACCEPTED, Committed): Rule(_S.RESUMED, only(SendDecision(), SendResumed(), _DONE)),
    **{
        (_S.RESUMED, again): Rule(_S.RESUMED, only(SendDecision(), SendResumed()))
        for again in (Request, GrantVerified, GrantUnusable, Query)
    },
    **{
        (_S.REFUSED, again): Rule(_S.REFUSED, only(SendDecision()))
        for again in (Request, GrantVerified, GrantUnusable, Query)
    },
    **{(_S.REFUSED, late): Rule(_S.REFUSED, _nothing) for late in (*_WORK, *_WISHES, UserRejected, Cancel)},
    (_S.REFUSED, UserAccepted): Rule(_S.REFUSED, only(AbandonStaging())),
    # Ended is not durable: a source that froze meanwhile gets a stored answer.
    **{(_S.ENDED, again): Rule(_S.REFUSED, _REFUSE_AGAIN) for again in (GrantVerified, GrantUnusable, Query)},
}
"""A move: this device becomes the primary."""

COPY_RULES: Final[Rules] = {
    **_COMMON,
    (_S.READY, Finish): Rule(_S.SEALING, _seal),
    # A source that comes back sends its offer and Finish: what answers the offer here makes this Finish void.
    **{(state, Finish): Rule(state, _nothing) for state in (_S.REVIEWING, _S.COPYING, _S.ENDED)},
    (_S.SEALING, Finish): Rule(_S.SEALING, _seal),
    (_S.SEALING, Sealed): Rule(_S.ACCEPTED, only(Commit())),
    (_S.SEALING, SealFailed): Rule(_S.ENDED, _give_up),
    (_S.SEALING, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.SEALING, TargetCancelAsked): Rule(_S.ENDED, _user_cancelled),
    (_S.SEALING, Abandoned): Rule(_S.ENDED, _abandoned),
    (_S.ACCEPTED, Request): Rule(_S.ACCEPTED, _nothing),
    (_S.ACCEPTED, Finish): Rule(_S.ACCEPTED, _nothing),
    (_S.ACCEPTED, Committed): Rule(_S.RESUMED, only(SendResumed(), _DONE)),
    (_S.RESUMED, Request): Rule(_S.RESUMED, _nothing),
    (_S.RESUMED, Finish): Rule(_S.RESUMED, only(SendResumed())),
}
"""A copy moves no ownership: nothing is stored, nothing is refused durably."""
