# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Figure, Statistic, exponent, figure_from_json, rounded
from bench.goals import GOALS

HANDOFF = Figure("handoff", "MB/s", (30.0, 10.0, 20.0), "raw channel", (50.0, 40.0, 30.0))
DIAL = Figure("dial", "ms", (51.26,))


def test_the_value_is_the_median_and_the_ratio_that_of_medians() -> None:
    assert HANDOFF.value == 20.0
    assert HANDOFF.ratio == 0.5


def test_without_a_reference_there_is_no_ratio() -> None:
    assert DIAL.ratio is None
    assert DIAL.as_json()["ratio"] is None


def test_a_reference_of_nothing_gives_no_ratio() -> None:
    assert Figure("x", "s", (1.0,), "promise", (0.0,)).ratio is None


def test_json_keeps_every_run_beside_what_is_derived() -> None:
    stored = HANDOFF.as_json()
    assert stored["runs"] == (30.0, 10.0, 20.0)
    assert stored["reference"] == (50.0, 40.0, 30.0)
    assert (stored["value"], stored["ratio"], stored["ok"]) == (20.0, 0.5, None)


@given(st.lists(st.floats(0.1, 1e6), min_size=1), st.sampled_from(list(Statistic)), st.sampled_from(["", *GOALS]))
def test_what_is_kept_is_read_again(runs: list[float], statistic: Statistic, goal: str) -> None:
    figure = Figure("a", "s", tuple(runs), "b", (1.0,), goal, statistic, "curve", 10.0)
    assert figure_from_json(json.loads(json.dumps(figure.as_json()))) == figure


def test_a_goal_of_a_ratio_is_judged_by_it() -> None:
    assert Figure("x", "s", (5.0,), "rsync", (10.0,), "tree 1%").ok is True
    assert Figure("x", "s", (5.1,), "rsync", (10.0,), "tree 1%").ok is False


def test_a_goal_of_a_value_needs_no_reference() -> None:
    assert Figure("x", "ms", (150.0,), goal="pause").ok is True
    assert Figure("x", "ms", (151.0,), goal="pause").ok is False


def test_nothing_is_said_about_a_ratio_without_a_reference() -> None:
    assert Figure("x", "s", (5.0,), goal="tree 1%").ok is None


def test_a_goal_that_must_be_reached_from_below() -> None:
    assert Figure("x", "MB/s", (85.0,), "raw channel", (100.0,), "random wrtc").ok is True
    assert Figure("x", "MB/s", (84.0,), "raw channel", (100.0,), "random wrtc").ok is False


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (19, 19), (20, 19), (100, 95)])
def test_the_95th_percentile_is_a_run_that_was_seen(count: int, expected: int) -> None:
    assert Statistic.P95.of([float(run) for run in range(count, 0, -1)]) == expected


def test_the_maximum_hides_no_run() -> None:
    assert Figure("x", "KB", (1.0, 9.0, 2.0), statistic=Statistic.MAXIMUM).value == 9.0


@given(st.floats(0.2, 3.0), st.lists(st.floats(1, 1e9), min_size=2, max_size=5, unique=True))
def test_the_exponent_of_a_power_is_its_own(power: float, sizes: list[float]) -> None:
    sizes = sorted({float(round(size)) for size in sizes})
    if len(sizes) < 2:
        return
    assert exponent([(size, size**power) for size in sizes]) == pytest.approx(power)


def test_the_steepest_step_counts() -> None:
    assert exponent([(1, 1), (10, 10), (100, 1000)]) == pytest.approx(2)


def test_runs_are_kept_rounded() -> None:
    assert rounded([1.23456, 2]) == (1.23, 2)
