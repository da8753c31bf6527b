# SPDX-License-Identifier: Apache-2.0
"""Small scopes in full: the production code keeps I1 to I7, and what is looked at is more than nothing happening."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import source_rules
from p2p_handoff.protocol.rules import only
from tests.explore import cast
from tests.explore.move import World
from tests.explore.scope import Scope
from tests.explore.scopes import SMALL
from tests.explore.search import explore, fingerprint
from tests.explore.world import Worlds

ONCE = Scope("once", nonces=1, crashes=1, cuts=1)


@pytest.mark.parametrize("scope", SMALL, ids=lambda scope: scope.name)
def test_every_order_of_events_keeps_every_invariant(scope: Scope) -> None:
    found = explore(scope)
    assert found.violation is None, "\n".join(found.trace)
    assert found.complete
    assert found.states > 500


def worlds_of(scope: Scope) -> tuple[Worlds, list[World]]:
    """All worlds of a scope, by a search of its own."""
    cast.remember_signatures()
    worlds = Worlds(scope)
    first = worlds.first()
    seen, todo = {first}, deque([first])
    while todo:
        for after, _, _ in worlds.steps(todo.popleft()):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return worlds, list(seen)


def test_as_many_worlds_are_counted_as_there_are() -> None:
    _, all_of_them = worlds_of(ONCE)
    assert explore(ONCE).states == len(all_of_them)
    assert len({fingerprint(world) for world in all_of_them}) == len(all_of_them)


def test_handoffs_are_accepted_refused_and_in_doubt_in_what_is_looked_at() -> None:
    worlds, all_of_them = worlds_of(replace(ONCE, edits=1))
    seen: set[str] = set()
    for world in all_of_them:
        summaries = [worlds.summaries.values[worlds.summary_of[number]] for number in world.devices]
        for summary in summaries:
            seen.update(f"{cast.NAMES[cast.numbers()[summary.me]]} {facts.role}" for _, facts in summary.sessions)
            seen.update(("accepted",) if summary.accepted else ())
            seen.update(("refused",) if summary.refused else ())
            seen.update(end for *_, end in summary.granted)
            seen.update(("not in place",) if summary.pending else ())
    assert seen == {
        "A primary",
        "A frozen",
        "A secondary",
        "B primary",
        "accepted",
        "refused",
        "open",
        "not in place",
    }


def test_a_crash_comes_between_any_two_effects() -> None:
    worlds, all_of_them = worlds_of(ONCE)
    middles = {
        step[1].label for world in all_of_them for *_, step in worlds.steps(world) if step[1] and step[2] == "crash"
    }
    for effects in ("StoreFrozen, SendGrant", "StoreAccepted, SendDecision, Commit", "StoreRefused, SendDecision"):
        assert any(effects in label for label in middles), effects


def test_a_violation_comes_with_its_shortest_story(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = source_rules.Rule(src.SourceState.FROZEN, only())
    monkeypatch.setitem(source_rules.MOVE_RULES, (src.SourceState.FROZEN, src.Connected), deaf)
    found = explore(ONCE)
    assert found.violation == "I7"
    assert found.stuck > 0
    assert found.trace[0] == "A begins to push to B (txn 1) (SendOffer)"
    assert any("StoreFrozen" in line for line in found.trace)


def test_a_search_that_is_cut_short_says_so() -> None:
    assert not explore(replace(ONCE, most=100)).complete
    assert not explore(ONCE, seconds=0).complete
