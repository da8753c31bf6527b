# SPDX-License-Identifier: Apache-2.0
"""protocol.wishes: the source alone decides which of several wishes it serves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.protocol.wishes import Push, PushFacts, Take, TakeFacts, Undo, judge_push, judge_take, judge_undo
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.policy import Verdict
from tests.protocol.grants import SESSION, TXN, B, C

PUSH = PushFacts(
    Role.PRIMARY,
    Mode.MOVE,
    in_place=True,
    under_way=False,
    lost=False,
    old_here=False,
    old_there=False,
    forked=False,
    over=False,
)
TAKE = TakeFacts(said=Verdict.ACCEPT, txn_used=False, asker=B.device, current=None)
OFFERED = Source(TXN, SESSION, B.device)


@pytest.mark.parametrize(
    ("change", "push"),
    [
        ({}, Push.BEGIN),
        ({"role": Role.SECONDARY}, Push.NOT_PRIMARY),
        ({"role": Role.SECONDARY, "mode": Mode.COPY}, Push.BEGIN),
        ({"role": Role.SECONDARY, "lost": True}, Push.LOST),
        ({"old_here": True}, Push.OLD_HERE),
        ({"old_there": True}, Push.OLD_THERE),
        ({"old_here": True, "old_there": True, "mode": Mode.COPY}, Push.BEGIN),
        ({"forked": True, "mode": Mode.COPY}, Push.FORKED),
        ({"forked": True, "role": Role.FROZEN}, Push.FORKED),
        ({"over": True}, Push.OVER),
        ({"over": True, "mode": Mode.MERGE}, Push.OVER),
        ({"in_place": False}, Push.NOT_IN_PLACE),
        ({"under_way": True}, Push.UNDER_WAY),
        ({"role": Role.FROZEN}, Push.UNDER_WAY),
        ({"role": Role.FROZEN, "mode": Mode.COPY}, Push.UNDER_WAY),
    ],
)
def test_a_push_begins_only_at_an_idle_primary(change: dict[str, Any], push: Push) -> None:
    assert judge_push(replace(PUSH, **change)) is push


@pytest.mark.parametrize(
    ("change", "take"),
    [
        ({}, Take.PUSH),
        ({"said": Verdict.REFUSE}, Take.REFUSED),
        ({"said": Verdict.ASK}, Take.ASK),
        ({"said": Verdict.ASK, "current": OFFERED}, Take.OFFERED),
        ({"said": Verdict.ASK, "txn_used": True}, Take.USED),
        ({"txn_used": True}, Take.USED),
        ({"current": OFFERED}, Take.OFFERED),
        ({"current": replace(OFFERED, mode=Mode.COPY)}, Take.ON_ITS_WAY),
        ({"current": replace(OFFERED, state=SourceState.FROZEN)}, Take.ON_ITS_WAY),
        ({"current": replace(OFFERED, target=C.device)}, Take.PUSH),
    ],
)
def test_a_take_is_served_by_the_handoff_that_goes_there_already(change: dict[str, Any], take: Take) -> None:
    assert judge_take(replace(TAKE, **change)) is take


UNDO = {"role": Role.PRIMARY, "forked": False, "in_place": True, "under_way": False}


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        ({}, Undo.BEGIN),
        ({"role": Role.FROZEN, "forked": True}, Undo.FROZEN),
        ({"role": Role.SECONDARY}, Undo.NOT_PRIMARY),
        ({"forked": True}, Undo.FORKED),
        ({"in_place": False}, Undo.UNDER_WAY),
        ({"under_way": True}, Undo.UNDER_WAY),
    ],
)
def test_an_undo_begins_only_at_an_idle_primary(change: dict[str, Any], undo: Undo) -> None:
    assert judge_undo(**{**UNDO, **change}) is undo
