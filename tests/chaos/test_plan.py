# SPDX-License-Identifier: Apache-2.0
"""Which cases a form has, and that a case's name says all of it."""

from __future__ import annotations

import itertools

import pytest

from tests.chaos import plan, small_disk
from tests.chaos.cases import KINDS, Case, Side, Stage, Way
from tests.chaos.system_calls import Act
from tests.chaos.warden import Call

CALLS = tuple(
    Call(number, "write", act, "store.sqlite3-wal")
    for number, act in enumerate(itertools.islice(itertools.cycle((Act.WRITE, Act.SYNC, Act.SEND)), 300), 1)
)
OTHERS = [name for name in plan.CI_OTHERS if name != "tmpfs" or not small_disk.missing()]
MEASURED = dict.fromkeys(itertools.product(Way, Stage, Side), CALLS)


def test_the_default_form_kills_both_roles_at_every_change_of_the_disk() -> None:
    cases = plan.cases("default", MEASURED, seed=1)
    kills = {
        (case.stage, case.side, case.point)
        for case in cases
        if case.kind.name == "kill" and case.way is Way.PUSH and case.engine == "auto"
    }
    assert kills == set(itertools.product((Stage.FIRST, Stage.UPDATE), Side, range(1, 201)))


def test_only_calls_of_a_kind_are_its_points() -> None:
    assert len(plan.points(KINDS["kill"], CALLS)) == 200
    assert len(plan.points(KINDS["send"], CALLS)) == 100


@pytest.mark.parametrize("form", ["default", "long", "ci"])
def test_every_form_has_every_fault(form: str) -> None:
    assert {case.kind.name for case in plan.cases(form, MEASURED, seed=1)} >= {*OTHERS, "kill"}


def test_the_short_form_begins_with_every_other_fault_once_and_spreads_its_kills() -> None:
    cases = plan.cases("ci", MEASURED, seed=1)
    assert [case.kind.name for case in cases[: len(OTHERS)]] == OTHERS
    cuts = len(OTHERS) + len(plan.CI_MESSAGES)
    after = cuts + len(plan.CI_PROGRAMMES)
    assert {case.kind.family for case in cases[len(OTHERS) : cuts]} == {"before", "after"}
    assert {case.way for case in cases[cuts:after]} == {Way.UNDO, Way.FORCE, Way.MEET}
    kills = cases[after:]
    assert {case.kind.name for case in kills} == {"kill"}
    assert {(case.stage, case.side) for case in kills[:4]} == set(itertools.product((Stage.FIRST, Stage.UPDATE), Side))
    early = sorted(case.point for case in kills[:20])
    assert max(later - earlier for earlier, later in itertools.pairwise([0, *early, 200])) < 40


def test_the_short_form_is_the_same_for_the_same_seed_only() -> None:
    assert plan.cases("ci", MEASURED, seed=1) == plan.cases("ci", MEASURED, seed=1)
    assert plan.cases("ci", MEASURED, seed=1) != plan.cases("ci", MEASURED, seed=2)


@pytest.mark.parametrize("form", ["default", "long", "ci"])
def test_what_a_form_takes_is_counted_first(form: str) -> None:
    counted = dict.fromkeys(plan.places(form), CALLS)
    measured = {(way, stage, side): calls for (way, stage), calls in counted.items() for side in Side}
    assert plan.cases(form, measured, seed=1)


@pytest.mark.parametrize("form", ["default", "ci"])
def test_a_case_is_known_by_its_name(form: str) -> None:
    for case in plan.cases(form, MEASURED, seed=1):
        assert Case.parse(str(case)) == case


def test_a_name_that_is_no_case_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        Case.parse("flood/push/first/source/1")


def test_parts_are_all_cases_once_and_a_mixture_is_too() -> None:
    cases = plan.cases("default", MEASURED, seed=1)
    parts = [case for number in (1, 2, 3) for case in plan.part_of(cases, f"{number}/3")]
    assert sorted(map(str, parts)) == sorted(map(str, cases)) == sorted(map(str, plan.mixed(cases)))


def test_the_beginning_of_a_mixture_has_a_share_of_everything() -> None:
    cases = plan.cases("default", MEASURED, seed=1)
    some = plan.mixed(cases)[: len(cases) // 5]
    for way in (Way.PUSH, Way.UNDO, Way.FORCE, Way.MEET):
        all_of_it = sum(case.way is way for case in cases)
        assert 0.1 < sum(case.way is way for case in some) / all_of_it < 0.3


@pytest.mark.parametrize("part", ["", "0/3", "4/3", "1", "a/b", "-1/3"])
def test_a_part_that_is_none_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="part"):
        plan.part_of([], part)
