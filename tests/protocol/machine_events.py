# SPDX-License-Identifier: Apache-2.0
"""Every event of a machine, and every step that its table allows: what the laws of the tables are checked over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, get_args

from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import source_rules, target_rules
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.messages import Cancel, Finish, Mode, Query, RejectReason, Request, Round
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.protocol.target import Target, TargetState
from tests.protocol.example_messages import EXAMPLES, NONCE, PART, SESSION, SOURCE, TARGET, TXN

_REASON = RejectReason.FAILED

SOURCE_EVENTS: tuple[src.SourceEvent, ...] = (
    src.Connected(),
    src.Disconnected(),
    src.RemainderLarge(),
    src.RemainderSmall(),
    src.FinalTaken(b"root"),
    src.SourceFailed("the disk is gone"),
    src.CancelAsked("enough"),
    src.Expired(),
    src.ResumeOverdue(),
    src.LearnedAccepted(b"chain"),
    src.LearnedLater(b"chain"),
    *(message for message in EXAMPLES.values() if isinstance(message, src.SOURCE_MESSAGES)),
)
TARGET_EVENTS: tuple[tgt.TargetEvent, ...] = (
    tgt.UserAccepted((PART,)),
    tgt.UserRejected(_REASON, "no"),
    tgt.Fetched(1, complete=True),
    tgt.FetchFailed(_REASON, "no space"),
    tgt.GrantVerified(b"manifest"),
    tgt.GrantUnusable("another nonce"),
    tgt.Sealed(),
    tgt.SealFailed(_REASON, "altered"),
    tgt.Committed(),
    tgt.TargetCancelAsked("enough"),
    tgt.Abandoned(),
    Round(TXN, 2, b"manifest"),
    Query(TXN, SESSION, b"g"),
    Finish(TXN, b"manifest"),
    *(message for message in EXAMPLES.values() if isinstance(message, Request | Cancel)),
)

assert {type(event) for event in SOURCE_EVENTS} == set(get_args(src.SourceEvent))
assert {type(event) for event in TARGET_EVENTS} == set(get_args(tgt.TargetEvent))


def source_in(state: SourceState, mode: Mode = Mode.MOVE, **fields: Any) -> Source:
    return Source(TXN, SESSION, TARGET, mode, state, **{"parts": (PART,), "round": 1, "nonce": NONCE, **fields})


def target_in(state: TargetState, mode: Mode = Mode.MOVE, **fields: Any) -> Target:
    outcome = Outcome(Result.CANCELLED, RejectReason.CANCELLED, "enough")
    return Target(TXN, SESSION, SOURCE, mode, state, **{"parts": (PART,), "round": 1, "outcome": outcome, **fields})


def source_steps() -> Iterator[tuple[Source, src.SourceEvent, source_rules.Step]]:
    """Every listed pair, with and without a nonce and a wish to cancel."""
    tables = {
        Mode.MOVE: source_rules.MOVE_RULES,
        Mode.COPY: source_rules.COPY_RULES,
        Mode.MERGE: source_rules.COPY_RULES,
    }
    for mode, state, event in itertools.product(Mode, SourceState, SOURCE_EVENTS):
        for nonce, cancel_asked in itertools.product((b"", NONCE), (False, True)):
            machine = source_in(state, mode, nonce=nonce, cancel_asked=cancel_asked)
            if (state, type(event)) in tables[mode]:
                yield machine, event, source_rules.step(machine, event)


def target_steps() -> Iterator[tuple[Target, tgt.TargetEvent, target_rules.Step]]:
    """Every listed pair."""
    tables = {
        Mode.MOVE: target_rules.MOVE_RULES,
        Mode.COPY: target_rules.COPY_RULES,
        Mode.MERGE: target_rules.COPY_RULES,
    }
    for mode, state, event in itertools.product(Mode, TargetState, TARGET_EVENTS):
        machine = target_in(state, mode)
        if (state, type(event)) in tables[mode]:
            yield machine, event, target_rules.step(machine, event)
