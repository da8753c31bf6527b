# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from bench.rows import ROWS, tasks

BOTH = ("wrtc", "aiortc")


def names(only: list[str], engines: list[str], here: tuple[str, ...] = BOTH, *, quick: bool = False) -> list[str]:
    return [task.name for task in tasks(only, engines, here, quick=quick)]


def test_no_two_rows_have_one_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_everything_is_measured_unless_something_is_named() -> None:
    assert {name.partition("@")[0] for name in names([], [])} == {row.name for row in ROWS}


def test_a_row_is_named_with_or_without_its_engine_or_by_a_pattern() -> None:
    assert names(["tree"], []) == ["tree@wrtc"]
    assert names(["random"], []) == ["random@wrtc", "random@aiortc"]
    assert names(["random@aiortc"], []) == ["random@aiortc"]
    assert names(["growth-*"], []) == ["growth-bytes@wrtc", "growth-files@wrtc"]


def test_a_row_of_one_engine_takes_the_fastest_that_is_here() -> None:
    assert names(["tree"], [], ("aiortc",)) == ["tree@aiortc"]


def test_an_engine_that_was_asked_for_is_taken_for_every_row() -> None:
    assert names(["tree", "limit"], ["aiortc"]) == ["limit@aiortc", "tree@aiortc"]
    assert names(["tree"], ["aiortc", "wrtc"]) == ["tree@aiortc", "tree@wrtc"]


def test_an_engine_that_is_not_here_is_not_measured() -> None:
    assert names(["random"], ["wrtc"], ("aiortc",)) == []


def test_the_small_form_waits_for_no_deadline_and_takes_one_engine() -> None:
    small = names([], [], quick=True)
    assert not [name for name in small if "deadlines" in name]
    assert not [name for name in small if name.endswith("@aiortc")]


def test_what_is_named_is_measured_in_the_small_form_too() -> None:
    assert names(["deadlines"], [], quick=True) == ["deadlines@wrtc"]


def test_a_name_that_does_not_exist_gives_nothing() -> None:
    assert names(["nothing"], []) == []
