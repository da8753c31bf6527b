# SPDX-License-Identifier: Apache-2.0
"""What a person reads at the end: a table by kind of fault, and every failure with the command that repeats it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from tests.chaos.run import Result

_TELL_EVERY: Final = 60.0
"""Seconds between two lines of progress."""
_COLUMNS = ("fault", "runs", "happened", "kills", "handoffs", "completed", "violations", "seconds")


def table(results: Sequence[Result]) -> Iterator[str]:
    """The table, a line at a time."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        case = result.case
        name = f"{case.kind.family} ({case.way.value}{', ' + case.engine if case.engine != 'auto' else ''})"
        groups.setdefault(name, []).append(result)
    rows = [(name, *_sums(group)) for name, group in groups.items()]
    rows.append(("all", *_sums(results)))
    widths = [max(len(str(row[index])) for row in (*rows, _COLUMNS)) for index in range(len(_COLUMNS))]
    for row in (_COLUMNS, *rows):
        first, *others = (str(cell) for cell in row)
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join((first.ljust(widths[0]), *cells))


def line(results: Sequence[Result], seconds: float) -> str:
    """All of it in one line, to be quoted."""
    kills = sum(result.kills for result in results)
    begun, done = sum(result.begun for result in results), sum(result.done for result in results)
    violations = sum(len(result.violations) for result in results)
    handoffs = f"{begun:,} handoffs ({done:,} completed)"
    return f"{len(results):,} runs: {kills:,} kills, {handoffs}, {violations:,} violations, {seconds:,.0f} s"


class Progress:
    """Says every so often how far it is.

    Args:
        cases: How many there are.
        started: When it began, on a clock in seconds that never falls.
        limit: Seconds after which no further run begins.
    """

    def __init__(self, cases: int, started: float, limit: float) -> None:
        self._cases, self._started, self._limit = cases, started, limit
        self._next = started + _TELL_EVERY

    def line(self, results: Sequence[Result], now: float) -> str | None:
        """What to say now, if anything."""
        if now < self._next:
            return None
        self._next = now + _TELL_EVERY
        passed = now - self._started
        left = min(passed / len(results) * (self._cases - len(results)), self._limit - passed)
        return (
            f"{len(results)} of {self._cases} cases; {line(results, passed)}; about {max(0.0, left) / 60:.0f} min left"
        )


def outcomes(results: Sequence[Result]) -> str:
    """How the disturbed commands ended."""
    counted = Counter(result.outcome for result in results)
    return ", ".join(f"{outcome} {count}" for outcome, count in counted.most_common())


def failure(result: Result) -> Iterator[str]:
    """All about one run that failed."""
    yield f"FAILED {result.case} at {result.happened_at or 'no point'}, outcome {result.outcome or 'none'}"
    yield from (f"  {violation}" for violation in result.violations)
    yield f"  again: ./scripts/chaos --only {result.case}"
    if result.kept is not None:
        homes = " ".join(f"{result.kept}/{name}/home" for name in ("laptop", "desktop"))
        yield f"  kept: {result.kept}; python -m tests.chaos.checker {homes}"


def _sums(results: Sequence[Result]) -> tuple[int | str, ...]:
    return (
        len(results),
        sum(bool(result.happened_at) for result in results),
        sum(result.kills for result in results),
        sum(result.begun for result in results),
        sum(result.done for result in results),
        sum(len(result.violations) for result in results),
        f"{sum(result.seconds for result in results):.0f}",
    )
