# SPDX-License-Identifier: Apache-2.0
"""What a person's wish for a session leads to: a push, another device's take, an undo.

Layer: protocol, pure. Specification: docs/specs/handoff-v2.md §5, 8. The source alone decides which of several wishes
it serves: the first one; an outgoing handoff to the taker serves that device's take as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from p2p_handoff.ids import DeviceId
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.policy import Verdict


class Push(Enum):
    """What a wish to hand a session over leads to."""

    BEGIN = "begin"
    NOT_PRIMARY = "not primary"
    """Another device owns the session."""
    NOT_IN_PLACE = "not in place"
    """What this device accepted itself is not in place yet."""
    OLD_HERE = "old here"
    """This home is an old copy that is not confirmed yet."""
    OLD_THERE = "old there"
    """The other device's home is one."""
    OVER = "over"
    """It was a fork, and came together with its original."""
    FORKED = "forked"
    """It goes on in a fork on this device."""
    LOST = "lost"
    """This device owned the session, and has forgotten what was in it."""
    UNDER_WAY = "under way"
    """Another handoff of the session is under way, or awaits its answer."""


class Take(Enum):
    """What another device's wish for a session leads to."""

    PUSH = "push"
    """Begin to hand it over, if a push may begin."""
    OFFERED = "offered"
    """It is being offered to that device already: that Init answers the take as well."""
    ASK = "ask"
    """Ask the person at this device first."""
    REFUSED = "refused"
    """The device may not take it."""
    USED = "used"
    """The txn was used before."""
    ON_ITS_WAY = "on its way"
    """It is on its way to that device already."""


class Undo(Enum):
    """What a wish to bring an earlier state back leads to."""

    BEGIN = "begin"
    FROZEN = "frozen"
    """The session is granted to another device, which has not answered."""
    NOT_PRIMARY = "not primary"
    """Another device owns the session."""
    FORKED = "forked"
    """It goes on in a fork on this device."""
    UNDER_WAY = "under way"
    """It is being handed off, or something is being put in place."""


@dataclass(frozen=True, slots=True)
class PushFacts:
    """How things stand with a session that is to be handed over."""

    role: Role
    mode: Mode
    in_place: bool
    under_way: bool
    """A machine of this session runs here as source."""
    lost: bool
    """This device is the session's owner and has lost its content (session.ownership.is_lost)."""
    old_here: bool
    """This home is an old copy that is not confirmed yet."""
    old_there: bool
    """The target's home is one."""
    forked: bool
    """An open fork of it is here."""
    over: bool
    """It was a fork, and came together with its original."""


@dataclass(frozen=True, slots=True)
class TakeFacts:
    """How things stand with a session that is asked for."""

    said: Verdict
    """What the settings say to the device."""
    txn_used: bool
    asker: DeviceId
    current: Source | None
    """The machine of this session, if it is being handed over."""


def judge_push(facts: PushFacts) -> Push:
    """Whether a session may be handed over now."""
    moves = facts.mode is Mode.MOVE
    refusals = {
        Push.OVER: facts.over,
        Push.FORKED: facts.forked,
        Push.LOST: moves and facts.lost,
        Push.NOT_PRIMARY: moves and facts.role is Role.SECONDARY,
        Push.OLD_HERE: moves and facts.old_here,
        Push.OLD_THERE: moves and facts.old_there,
        Push.NOT_IN_PLACE: not facts.in_place,
        Push.UNDER_WAY: facts.role is Role.FROZEN or facts.under_way,
    }
    return next((push for push, applies in refusals.items() if applies), Push.BEGIN)


def judge_undo(role: Role, *, forked: bool, in_place: bool, under_way: bool) -> Undo:
    """Whether an earlier state of a session may be brought back now.

    Args:
        role: This device's.
        forked: An open fork of the session is here.
        in_place: Nothing that was accepted, undone or merged is still to be put in place.
        under_way: A handoff of the session goes out or comes in.
    """
    refusals = {
        Undo.FROZEN: role is Role.FROZEN,
        Undo.NOT_PRIMARY: role is not Role.PRIMARY,
        Undo.FORKED: forked,
        Undo.UNDER_WAY: under_way or not in_place,
    }
    return next((undo for undo, applies in refusals.items() if applies), Undo.BEGIN)


def judge_take(facts: TakeFacts) -> Take:
    """What is answered to a device that wants a session."""
    towards = facts.current if facts.current is not None and facts.current.target == facts.asker else None
    verdicts = {
        Take.REFUSED: facts.said is Verdict.REFUSE,
        Take.USED: facts.txn_used,
        Take.OFFERED: towards is not None and (towards.state, towards.mode) == (SourceState.OFFERED, Mode.MOVE),
        Take.ON_ITS_WAY: towards is not None,
        Take.ASK: facts.said is Verdict.ASK,
    }
    return next((take for take, applies in verdicts.items() if applies), Take.PUSH)
