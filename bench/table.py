# SPDX-License-Identifier: Apache-2.0
"""Figures as text: columns for a terminal, Markdown for documents, the table of goals. Layer: bench, pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.figures import Figure
from bench.goals import GOALS
from p2p_handoff.errors import UsageError

BEGIN: Final = "<!-- figures -->"
END: Final = "<!-- /figures -->"
Line = tuple[str, ...]
_HEADER: Final[Line] = ("measured", "ours", "runs", "ratio", "of")
_GOALS_HEADER: Final[Line] = ("figure", "must reach", "seen", "ok")


def shown(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cells(figure: Figure) -> Line:
    spread = f"{shown(min(figure.runs))} to {shown(max(figure.runs))}"
    ours = f"{shown(figure.value)} {figure.unit}"
    if figure.ratio is None or figure.beside is None:
        return figure.name, ours, spread, "", figure.compared_with
    return (
        figure.name,
        ours,
        spread,
        f"{figure.ratio:.2f}",
        f"{shown(figure.beside)} {figure.unit} ({figure.compared_with})",
    )


def _goal_cells(key: str, figures: Sequence[Figure]) -> list[Line]:
    goal = GOALS[key]
    found = [figure for figure in figures if figure.goal == key]
    if not found:
        return [(goal.text, goal.wanted, "not measured", "")]
    several = len(found) > 1
    return [
        (
            f"{goal.text} ({figure.name})" if several else goal.text,
            goal.wanted,
            "nothing to compare with" if figure.judged is None else shown(figure.judged),
            {True: "yes", False: "no", None: ""}[figure.ok],
        )
        for figure in found
    ]


def lines_of(figures: Sequence[Figure]) -> list[Line]:
    """All figures, with a header."""
    return [_HEADER, *map(_cells, figures)]


def lines_of_goals(figures: Sequence[Figure]) -> list[Line]:
    """Every goal with what was seen, those that were not measured too."""
    return [_GOALS_HEADER, *(line for key in GOALS for line in _goal_cells(key, figures))]


def text_table(lines: Sequence[Line]) -> str:
    """Aligned columns, for a terminal."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(row.rstrip() for row in rows)


def markdown_table(lines: Sequence[Line]) -> str:
    """The same as a Markdown table."""
    ruled = [lines[0], ("---",) * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in ruled)


def with_figures(document: str, table: str) -> str:
    """A document with what stands between the two markers replaced.

    Raises:
        UsageError: The document has not exactly one pair of markers.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise UsageError(f"the document needs one {BEGIN} before one {END}")
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"
