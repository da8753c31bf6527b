# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Figure
from bench.goals import GOALS
from bench.table import BEGIN, END, lines_of, lines_of_goals, markdown_table, shown, text_table, with_figures
from p2p_handoff.errors import UsageError

HANDOFF = Figure("handoff", "MB/s", (30.0, 10.0, 20.0), "raw channel", (50.0, 40.0, 30.0))
DIAL = Figure("dial", "ms", (51.26,))


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.12"), (9.99, "9.99"), (12.34, "12.3"), (12345.6, "12,346"), (-0.25, "-0.25")]
)
def test_numbers_have_about_three_digits(value: float, text: str) -> None:
    assert shown(value) == text


def test_the_text_table_shows_median_spread_and_ratio() -> None:
    header, handoff, dial = text_table(lines_of([HANDOFF, DIAL])).splitlines()
    assert header.split() == ["measured", "ours", "runs", "ratio", "of"]
    assert handoff == "handoff   20.0 MB/s  10.0 to 30.0  0.50   40.0 MB/s (raw channel)"
    assert dial == "dial      51.3 ms    51.3 to 51.3"


def test_a_bar_in_a_name_does_not_break_the_markdown() -> None:
    assert "| a\\|b |" in markdown_table(lines_of([Figure("a|b", "s", (1.0,))]))


def test_every_goal_has_a_line_even_if_nothing_was_measured() -> None:
    lines = lines_of_goals([])[1:]
    assert len(lines) == len(GOALS)
    assert all(line[2:] == ("not measured", "") for line in lines)


def test_a_goal_shows_what_was_seen() -> None:
    figures = [Figure("tree", "s", (1.0,), "rsync", (4.0,), "tree 1%"), Figure("pause", "ms", (200.0,), goal="pause")]
    seen = {line[0]: line[1:] for line in lines_of_goals(figures)}
    assert seen[GOALS["tree 1%"].text] == ("≤ 0.5 (stretch 0.25)", "0.25", "yes")
    assert seen[GOALS["pause"].text] == ("≤ 150 (stretch 100)", "200", "no")


def test_a_goal_without_its_reference_is_neither_reached_nor_missed() -> None:
    [line] = [line for line in lines_of_goals([Figure("tree", "s", (1.0,), goal="tree 1%")]) if "1% changed" in line[0]]
    assert line[2:] == ("nothing to compare with", "")


def test_a_goal_of_several_figures_names_each() -> None:
    sides = [Figure(f"memory, {side}", "MB", (100.0,), goal="memory") for side in ("source", "target")]
    texts = [line[0] for line in lines_of_goals(sides)]
    assert {f"{GOALS['memory'].text} (memory, source)", f"{GOALS['memory'].text} (memory, target)"} <= set(texts)


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
