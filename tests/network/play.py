# SPDX-License-Identifier: Apache-2.0
"""Plays the table of network scenarios and prints it: ``./scripts/scenarios``."""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.network.lab import LabError, missing
from tests.network.scenarios import SCENARIOS, Scenario, lacking, run
from tests.network.stage import MomentMissedError

_HEADER = ("scenario", "engine", "written down beforehand", "seen", "seconds")


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario as it was played."""

    number: int
    """In the table: a play is a function that no other process can be handed."""
    problem: str
    """Empty when it ended as expected."""
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        row = SCENARIOS[self.number]
        seen = self.problem.splitlines()[0][:160] if self.problem else "as expected"
        return f"{row.family}: {row.name}", row.engine, row.end.value, seen, f"{self.seconds:.0f}"


def main() -> int:
    """Play and print.

    Returns:
        The exit code: 1 when a scenario did not end as expected, 2 when none can be played here.
    """
    options = _parser().parse_args()
    if problem := missing():
        sys.stderr.write(f"scenarios: {problem}\n")
        return 2
    chosen = [(number, options.seed) for number, row in enumerate(SCENARIOS) if _is_chosen(row, options)]
    if problem := next((why for number, _ in chosen if (why := lacking(SCENARIOS[number]))), None):
        sys.stderr.write(f"scenarios: {problem}\n")
        return 2
    began = time.monotonic()
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        rows = []
        for row in pool.map(_play, chosen):
            rows.append(row)
            sys.stderr.write("  ".join(row.cells()) + "\n")
    print_table(rows, markdown=options.markdown)
    failed = [row for row in rows if row.problem]
    sys.stdout.write(
        f"\n{len(rows)} scenarios, {len(rows) - len(failed)} as expected, "
        f"{time.monotonic() - began:.0f} s with {options.jobs} at a time, seed {options.seed}\n"
    )
    for row in failed:
        sys.stdout.write(f"\n--- {SCENARIOS[row.number].title}\n{row.problem}\n")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/scenarios", description="Play the network scenarios. Needs root.")
    parser.add_argument("--only", action="append", metavar="TEXT", help="titles that contain this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="those that every commit plays")
    parser.add_argument("--seed", type=int, default=0, help="other weather (default 0)")
    parser.add_argument("--jobs", type=int, default=2, help="scenarios at a time (default 2)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


def _is_chosen(row: Scenario, options: argparse.Namespace) -> bool:
    wanted = not options.only or any(text in row.title for text in options.only)
    return wanted and (row.quick or not options.quick)


def _play(chosen: tuple[int, int]) -> Row:
    number, seed = chosen
    began = time.monotonic()
    problem = ""
    scratch = tempfile.TemporaryDirectory(prefix="handoff-scenario-", ignore_cleanup_errors=True)
    with scratch as root, contextlib.redirect_stderr(io.StringIO()) as logs:
        try:
            run(SCENARIOS[number], Path(root), seed)
        except (AssertionError, LabError, MomentMissedError) as error:
            problem = f"{type(error).__name__}: {error}\n{logs.getvalue()}"
    return Row(number, problem, time.monotonic() - began)


def print_table(rows: Sequence[Row], *, markdown: bool) -> None:
    """In aligned columns, or as Markdown."""
    lines = [_HEADER, *(row.cells() for row in rows)]
    if markdown:
        lines.insert(1, ("---",) * len(_HEADER))
        sys.stdout.writelines("| " + " | ".join(line) + " |\n" for line in lines)
        return
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(main())
