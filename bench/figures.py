# SPDX-License-Identifier: Apache-2.0
"""A figure: what was measured, its unit, every run, and what it is compared with. Layer: bench, pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from p2p_handoff.errors import UsageError

BEGIN: Final = "<!-- figures -->"
END: Final = "<!-- /figures -->"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    unit: str
    runs: tuple[float, ...]
    """Every measurement, in order."""
    compared_with: str = ""
    """What ``reference`` is: another measurement taken alternately with this one, or a promise."""
    reference: tuple[float, ...] = ()

    @property
    def value(self) -> float:
        """Median of the runs."""
        return median(self.runs)

    @property
    def ratio(self) -> float | None:
        """Median over median of the reference; None without one."""
        return self.value / median(self.reference) if self.reference and median(self.reference) else None

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields with the derived ones."""
        return {**asdict(self), "value": self.value, "ratio": self.ratio}


def shown(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    spread = f"{shown(min(figure.runs))} to {shown(max(figure.runs))}"
    if figure.ratio is None:
        return figure.name, f"{shown(figure.value)} {figure.unit}", spread, ""
    beside = f"{figure.ratio:.2f} of {shown(median(figure.reference))} {figure.unit} ({figure.compared_with})"
    return figure.name, f"{shown(figure.value)} {figure.unit}", spread, beside


_HEADER: Final = ("measured", "median", "runs", "beside")


def text_table(figures: Sequence[Figure]) -> str:
    """The figures in aligned columns, for a terminal."""
    lines = [_HEADER, *map(_cells, figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(row.rstrip() for row in rows)


def markdown_table(figures: Sequence[Figure], conditions: str) -> str:
    """The figures as a Markdown table, with a line on how they came about."""
    lines = [_HEADER, ("---",) * len(_HEADER), *map(_cells, figures)]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([*rows, "", conditions])


def with_figures(document: str, table: str) -> str:
    """A document with what stands between the two markers replaced.

    Raises:
        UsageError: The document has not exactly one pair of markers.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise UsageError(f"the document needs one {BEGIN} before one {END}")
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"
