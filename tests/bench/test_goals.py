# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from bench.goals import GOALS, Goal


def test_a_limit_is_reached_on_the_limit() -> None:
    assert Goal("x", 1.2).met(1.2)
    assert not Goal("x", 1.2).met(1.21)
    assert Goal("x", 0.85, at_least=True).met(0.85)
    assert not Goal("x", 0.85, at_least=True).met(0.84)


def test_a_goal_says_what_it_wants() -> None:
    assert Goal("x", 0.5, stretch=0.25).wanted == "≤ 0.5 (stretch 0.25)"
    assert Goal("x", 0.95, at_least=True).wanted == "≥ 0.95"


def test_a_stretch_is_better_than_the_limit() -> None:
    for goal in GOALS.values():
        if goal.stretch is not None:
            assert goal.met(goal.stretch)
            assert goal.stretch != goal.limit
