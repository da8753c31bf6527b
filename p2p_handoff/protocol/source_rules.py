# SPDX-License-Identifier: Apache-2.0
"""The source's half of a handoff as tables of transitions, one for a move, one for a copy. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §6. ``step(machine, event)`` returns the next machine and effects that the
shell carries out in order; their terms are in ``source``. A pair of state and event that the table does not list is
an error: the peer's when the event is a message, else ours.

Rules: before FROZEN the source may give up freely. From FROZEN on only the target decides: Accepted, from the target
or in anybody's chain, releases; Refused thaws; a timeout does nothing; cancelling asks the target by Query. A new
connection voids a Ready of an older one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, get_args

from p2p_handoff.protocol import rules
from p2p_handoff.protocol.messages import Accept, Accepted, Cancel, Mode, Ready, Refused, Reject, RejectReason, Resumed
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.rules import only
from p2p_handoff.protocol.source import (
    SOURCE_MESSAGES,
    CancelAsked,
    Connected,
    Disconnected,
    Ended,
    Expired,
    FinalTaken,
    FreezeParts,
    InDoubt,
    LearnedAccepted,
    LearnedLater,
    ReleaseParts,
    RemainderLarge,
    RemainderSmall,
    ResumeOverdue,
    SendCancel,
    SendFinish,
    SendGrant,
    SendOffer,
    SendQuery,
    SendRound,
    Source,
    SourceEffect,
    SourceEvent,
    SourceFailed,
    SourceState,
    StoreFrozen,
    StoreLearned,
    StoreReleased,
    StoreThawed,
    Survey,
    ThawParts,
)

Step = tuple[Source, tuple[SourceEffect, ...]]
Action = Callable[[Source, Any], Step]
Rule = rules.Rule[Source, SourceState, SourceEffect]


def step(machine: Source, event: SourceEvent) -> Step:
    """Apply one event.

    Returns:
        The next machine and the effects to carry out in order.

    Raises:
        RemoteProtocolError: The peer sent a message that has no place in this state.
        LocalProtocolError: This side's shell raised an event that has no place in this state.
    """
    table = MOVE_RULES if machine.mode is Mode.MOVE else COPY_RULES
    return rules.apply_rule(table, machine, event, role="source", messages=SOURCE_MESSAGES)


# --- guards -----------------------------------------------------------------------------------------


def _of_this_round(machine: Source, event: Ready) -> bool:
    """Its number is the current round's."""
    return event.number == machine.round


def _still_ready(machine: Source, _event: object) -> bool:
    """No connection is newer than the Ready."""
    return bool(machine.nonce)


# --- actions ----------------------------------------------------------------------------------------


_nothing: Final[Action] = only()


def _accepted_by_target(machine: Source, event: Accept) -> Step:
    return replace(machine, parts=event.parts, round=1), (SendRound(1, fresh=False),)


def _offer_again(machine: Source, _event: Connected) -> Step:
    # The target may have restarted and forgotten its nonce: what a survey finds now would freeze in vain.
    return replace(machine, nonce=b""), (SendOffer(),)


def _accepted_again(machine: Source, event: Accept) -> Step:
    return replace(machine, parts=event.parts, nonce=b""), (SendRound(machine.round, fresh=False),)


def _ready(machine: Source, event: Ready) -> Step:
    if not event.complete:
        return _next_round(machine, fresh=True)
    surveying = bool(machine.nonce)
    return replace(machine, nonce=event.nonce), () if surveying else (Survey(),)


def _another_round(machine: Source, _event: RemainderLarge) -> Step:
    return _next_round(machine, fresh=False)


def _next_round(machine: Source, *, fresh: bool) -> Step:
    following = machine.round + 1
    return replace(machine, round=following, nonce=b""), (SendRound(following, fresh=fresh),)


def _grant(machine: Source, event: FinalTaken) -> Step:
    return machine, (StoreFrozen(event.root), SendGrant(machine.nonce))


def _ask_again(machine: Source, _event: Connected) -> Step:
    return machine, (SendQuery() if machine.cancel_asked or not machine.nonce else SendGrant(machine.nonce),)


def _cancel_frozen(machine: Source, _event: CancelAsked) -> Step:
    return replace(machine, cancel_asked=True), (SendQuery(),)


def _release(machine: Source, event: Accepted) -> Step:
    return machine, (StoreReleased(event.statement), ReleaseParts())


def _learned(machine: Source, event: LearnedAccepted) -> Step:
    return machine, (StoreLearned(event.chain), ReleaseParts())


def _superseded(machine: Source, event: LearnedLater) -> Step:
    text = "the session went on without this handoff: this device's data was an old copy"
    outcome = Outcome(Result.FAILED, RejectReason.STALE, text)
    return machine, (StoreLearned(event.chain), ReleaseParts(), Ended(outcome))


def _thaw(machine: Source, event: Refused) -> Step:
    result = Result.CANCELLED if machine.cancel_asked else Result.FAILED
    outcome = Outcome(result, RejectReason.CANCELLED if machine.cancel_asked else RejectReason.FAILED)
    return machine, (StoreThawed(event.statement), ThawParts(), Ended(outcome))


def _rejected(machine: Source, event: Reject) -> Step:
    return machine, (Ended(Outcome(Result.REJECTED, event.reason, event.text)),)


def _peer_cancelled(machine: Source, event: Cancel) -> Step:
    result = Result.CANCELLED if event.reason is RejectReason.CANCELLED else Result.FAILED
    return machine, (Ended(Outcome(result, event.reason, event.text)),)


def _give_up(machine: Source, event: CancelAsked) -> Step:
    reason = RejectReason.CANCELLED
    return machine, (SendCancel(reason, event.text), Ended(Outcome(Result.CANCELLED, reason, event.text)))


def _failed(machine: Source, event: SourceFailed) -> Step:
    reason = RejectReason.FAILED
    return machine, (SendCancel(reason, event.text), Ended(Outcome(Result.FAILED, reason, event.text)))


def _expired(machine: Source, _event: Expired) -> Step:
    reason = RejectReason.EXPIRED
    return machine, (SendCancel(reason, ""), Ended(Outcome(Result.FAILED, reason)))


def _thawing(act: Action) -> Action:
    """The same after parts were frozen: they are thawed before the outcome is reported."""

    def thaw_first(machine: Source, event: object) -> Step:
        after, effects = act(machine, event)
        return after, (*effects[:-1], ThawParts(), effects[-1])

    return thaw_first


def _done(machine: Source, _event: Resumed) -> Step:
    return machine, (Ended(Outcome(Result.DONE)),)


def _done_unseen(machine: Source, _event: Disconnected) -> Step:
    return machine, (
        Ended(Outcome(Result.DONE, text="the connection broke before the other side said that it resumed")),
    )


def _done_overdue(machine: Source, _event: ResumeOverdue) -> Step:
    text = "the other side owns the session and has not said yet that it is in place there"
    return machine, (Ended(Outcome(Result.DONE, text=text)),)


# --- the tables -------------------------------------------------------------------------------------

_S = SourceState
Rules = dict[tuple[SourceState, type], Rule]

_COMMON: Final[Rules] = {
    (_S.OFFERED, Connected): Rule(_S.OFFERED, only(SendOffer())),
    (_S.OFFERED, Disconnected): Rule(_S.OFFERED, _nothing),
    (_S.OFFERED, Accept): Rule(_S.COPYING, _accepted_by_target),
    (_S.OFFERED, Reject): Rule(_S.ENDED, _rejected),
    (_S.OFFERED, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.OFFERED, CancelAsked): Rule(_S.ENDED, _give_up),
    (_S.OFFERED, SourceFailed): Rule(_S.ENDED, _failed),
    (_S.OFFERED, Expired): Rule(_S.ENDED, _expired),
    (_S.COPYING, Connected): Rule(_S.COPYING, _offer_again),
    (_S.COPYING, Disconnected): Rule(_S.COPYING, _nothing),
    (_S.COPYING, Accept): Rule(_S.COPYING, _accepted_again),
    (_S.COPYING, Reject): Rule(_S.ENDED, _rejected),
    (_S.COPYING, Ready): Rule(_S.COPYING, _ready, when=_of_this_round),
    (_S.COPYING, RemainderLarge): Rule(_S.COPYING, _another_round, when=_still_ready),
    (_S.COPYING, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.COPYING, CancelAsked): Rule(_S.ENDED, _give_up),
    (_S.COPYING, SourceFailed): Rule(_S.ENDED, _failed),
    # What arrives or comes to its end after the handoff did.
    **{(_S.ENDED, late): Rule(_S.ENDED, _nothing) for late in get_args(SourceEvent)},
}

MOVE_RULES: Final[Rules] = {
    **_COMMON,
    (_S.COPYING, RemainderSmall): Rule(_S.FREEZING, only(FreezeParts()), when=_still_ready),
    (_S.FREEZING, Connected): Rule(_S.FREEZING, _nothing),
    (_S.FREEZING, Disconnected): Rule(_S.FREEZING, _nothing),
    (_S.FREEZING, Ready): Rule(_S.FREEZING, _nothing),
    # The answer to a repeated offer, behind a Ready that the target had under way when the offer came.
    (_S.FREEZING, Accept): Rule(_S.FREEZING, _nothing),
    (_S.FROZEN, Accept): Rule(_S.FROZEN, _nothing),
    # Of a survey that an earlier Ready began.
    **{
        (state, late): Rule(state, _nothing)
        for state in (_S.FREEZING, _S.FROZEN, _S.RELEASED)
        for late in (RemainderLarge, RemainderSmall)
    },
    (_S.FREEZING, FinalTaken): Rule(_S.FROZEN, _grant),
    (_S.FREEZING, Cancel): Rule(_S.ENDED, _thawing(_peer_cancelled)),
    (_S.FREEZING, CancelAsked): Rule(_S.ENDED, _thawing(_give_up)),
    (_S.FREEZING, SourceFailed): Rule(_S.ENDED, _thawing(_failed)),
    (_S.FROZEN, Connected): Rule(_S.FROZEN, _ask_again),
    (_S.FROZEN, Disconnected): Rule(_S.FROZEN, only(InDoubt())),
    (_S.FROZEN, Ready): Rule(_S.FROZEN, _nothing),
    (_S.FROZEN, Accepted): Rule(_S.RELEASED, _release),
    (_S.FROZEN, Refused): Rule(_S.ENDED, _thaw),
    (_S.FROZEN, LearnedAccepted): Rule(_S.RELEASED, _learned),
    (_S.FROZEN, LearnedLater): Rule(_S.ENDED, _superseded),
    # The target's Cancel is not durable, and a failure on this side decides nothing: only its stored decision counts.
    (_S.FROZEN, Cancel): Rule(_S.FROZEN, only(SendQuery())),
    (_S.FROZEN, SourceFailed): Rule(_S.FROZEN, _nothing),
    (_S.FROZEN, CancelAsked): Rule(_S.FROZEN, _cancel_frozen),
    # Released by a chain from a third device: the target still owes its Resumed.
    (_S.RELEASED, Connected): Rule(_S.RELEASED, only(SendQuery())),
    (_S.RELEASED, Disconnected): Rule(_S.ENDED, _done_unseen),
    (_S.RELEASED, ResumeOverdue): Rule(_S.ENDED, _done_overdue),
    (_S.RELEASED, Accepted): Rule(_S.RELEASED, _nothing),
    **{
        (_S.RELEASED, late): Rule(_S.RELEASED, _nothing)
        for late in (CancelAsked, SourceFailed, LearnedAccepted, LearnedLater)
    },
    (_S.RELEASED, Resumed): Rule(_S.ENDED, _done),
    (_S.ENDED, FinalTaken): Rule(_S.ENDED, only(ThawParts())),
}
"""A move: ownership goes to the target."""

COPY_RULES: Final[Rules] = {
    **_COMMON,
    (_S.COPYING, RemainderSmall): Rule(_S.FINISHING, only(SendFinish()), when=_still_ready),
    # The target may have restarted, or may be sealing already: the offer serves the one, Finish the other.
    (_S.FINISHING, Connected): Rule(_S.FINISHING, only(SendOffer(), SendFinish())),
    (_S.FINISHING, Disconnected): Rule(_S.FINISHING, _nothing),
    (_S.FINISHING, Accept): Rule(_S.COPYING, _accepted_again),
    (_S.FINISHING, Reject): Rule(_S.ENDED, _rejected),
    **{(_S.FINISHING, late): Rule(_S.FINISHING, _nothing) for late in (Ready, RemainderLarge, RemainderSmall)},
    (_S.FINISHING, Resumed): Rule(_S.ENDED, _done),
    (_S.FINISHING, Cancel): Rule(_S.ENDED, _peer_cancelled),
    (_S.FINISHING, CancelAsked): Rule(_S.ENDED, _give_up),
    (_S.FINISHING, SourceFailed): Rule(_S.ENDED, _failed),
}
"""A copy finishes where a move freezes; no ownership moves."""
