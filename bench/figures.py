# SPDX-License-Identifier: Apache-2.0
"""A figure: what was measured, its unit, every run, what it is compared with and must reach. Layer: bench, pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import Any, Final

from bench.goals import GOALS, Goal, Of


class Statistic(StrEnum):
    """How the runs become one number."""

    MEDIAN = "median"
    P95 = "95th percentile"
    MAXIMUM = "maximum"

    def of(self, runs: Sequence[float]) -> float:
        """The number; the 95th percentile is the nearest rank, so always a run that was seen."""
        if self is Statistic.MEDIAN:
            return median(runs)
        if self is Statistic.MAXIMUM:
            return max(runs)
        return sorted(runs)[math.ceil(0.95 * len(runs)) - 1]


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
    goal: str = ""
    """Key into ``GOALS``."""
    statistic: Statistic = Statistic.MEDIAN
    series: str = ""
    """The curve that it is a point of."""
    at: float = 0.0
    """Where on that curve: bytes, files, share changed."""

    @property
    def value(self) -> float:
        """The one number of the runs."""
        return self.statistic.of(self.runs)

    @property
    def beside(self) -> float | None:
        """Median of the reference; None without one."""
        return median(self.reference) if self.reference else None

    @property
    def ratio(self) -> float | None:
        """Value over median of the reference; None without one."""
        return self.value / self.beside if self.beside else None

    @property
    def must_reach(self) -> Goal | None:
        """Its goal, if it has one."""
        return GOALS[self.goal] if self.goal else None

    @property
    def judged(self) -> float | None:
        """The number that its goal is about; None when there is no goal or nothing to compare with."""
        if self.must_reach is None:
            return None
        return self.ratio if self.must_reach.of is Of.RATIO else self.value

    @property
    def ok(self) -> bool | None:
        """Whether its goal is reached; None when nothing can be said."""
        if self.must_reach is None or self.judged is None:
            return None
        return self.must_reach.met(self.judged)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields with the derived ones."""
        return {**asdict(self), "value": self.value, "ratio": self.ratio, "ok": self.ok}


_STORED: Final = ("name", "unit", "compared_with", "goal", "series", "at")


def figure_from_json(stored: dict[str, Any]) -> Figure:
    """The figure that ``as_json`` wrote."""
    return Figure(
        runs=tuple(stored["runs"]),
        reference=tuple(stored["reference"]),
        statistic=Statistic(stored["statistic"]),
        **{name: stored[name] for name in _STORED},
    )


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The steepest exponent of growth between neighbouring points: 1 is growth in proportion.

    Args:
        points: Size and time of each, ascending in size, at least two.
    """
    steps = itertools.pairwise(points)
    return max(math.log(after[1] / before[1]) / math.log(after[0] / before[0]) for before, after in steps)


def rounded(values: Sequence[float], digits: int = 2) -> tuple[float, ...]:
    """Runs as they are kept."""
    return tuple(round(value, digits) for value in values)
