# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import BEGIN, END, Figure, markdown_table, shown, text_table, with_figures
from p2p_handoff.errors import UsageError

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
    assert HANDOFF.as_json() == {
        "name": "handoff",
        "unit": "MB/s",
        "runs": (30.0, 10.0, 20.0),
        "compared_with": "raw channel",
        "reference": (50.0, 40.0, 30.0),
        "value": 20.0,
        "ratio": 0.5,
    }


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (9.99, "9.99"), (12.34, "12.3"), (12345.6, "12,346")])
def test_numbers_have_about_three_digits(value: float, text: str) -> None:
    assert shown(value) == text


def test_the_text_table_shows_median_spread_and_ratio() -> None:
    header, handoff, dial = text_table([HANDOFF, DIAL]).splitlines()
    assert header.split() == ["measured", "median", "runs", "beside"]
    assert handoff == "handoff   20.0 MB/s  10.0 to 30.0  0.50 of 40.0 MB/s (raw channel)"
    assert dial == "dial      51.3 ms    51.3 to 51.3"


def test_the_markdown_table_ends_with_how_it_came_about() -> None:
    lines = markdown_table([DIAL], "On one machine.").splitlines()
    assert lines == [
        "| measured | median | runs | beside |",
        "| --- | --- | --- | --- |",
        "| dial | 51.3 ms | 51.3 to 51.3 |  |",
        "",
        "On one machine.",
    ]


def test_a_bar_in_a_name_does_not_break_the_table() -> None:
    assert "| a\\|b |" in markdown_table([Figure("a|b", "s", (1.0,))], "")


def test_only_what_is_between_the_markers_is_replaced() -> None:
    document = f"# Title\n{BEGIN}\nold\n{END}\nrest\n"
    assert with_figures(document, "new") == f"# Title\n{BEGIN}\nnew\n{END}\nrest\n"


@given(st.text(), st.text(), st.text(), st.text())
def test_replacing_twice_is_replacing_once(before: str, old: str, after: str, table: str) -> None:
    parts = (before, old, after, table)
    if any(marker in part for part in parts for marker in (BEGIN, END)):
        return
    once = with_figures(f"{before}{BEGIN}{old}{END}{after}", table)
    assert with_figures(once, table) == once
    assert once.startswith(before)
    assert once.endswith(after)


@pytest.mark.parametrize("document", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_one_pair_of_markers_is_refused(document: str) -> None:
    with pytest.raises(UsageError):
        with_figures(document, "table")
