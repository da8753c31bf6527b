# SPDX-License-Identifier: Apache-2.0
"""Measure the product on this machine beside others, print tables, keep the figures: ``./scripts/bench``. Layer: bench.

Every ratio is formed from runs taken alternately, on the same data. Results go to ``bench/results``, row by row, so
that a run that was broken off is taken up with ``--only``; ``--update-readme`` rewrites what README.md has of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.devices import BenchError
from bench.figures import Figure
from bench.machine import facts
from bench.peers.base import Carrier, PeerMissingError
from bench.peers.crew import carriers
from bench.places import Pair, pair
from bench.results import Results
from bench.rows import ROWS, Task, tasks
from bench.sizes import FULL, QUICK
from bench.stage import Stage
from bench.table import lines_of, lines_of_goals, markdown_table, text_table, with_figures
from p2p_handoff.engines.native_engine import available
from p2p_handoff.errors import HandoffError

ROOT: Final = Path(__file__).resolve().parent.parent
PLOTS: Final = ROOT / "docs" / "figures"


def main() -> int:
    """Measure and report.

    Returns:
        The exit code: 1 when something could not be measured.
    """
    options = _parser().parse_args()
    if options.show is not None:
        results = Results.read(options.show)
        _report(results, options)
        return 0
    here = ("wrtc", "aiortc") if available() else ("aiortc",)
    chosen = list(tasks(options.only, options.engine, here, quick=options.quick))
    if options.list or not chosen:
        print("\n".join(task.name for task in chosen) or "bench: no row has that name", file=sys.stderr)
        return 0 if chosen else 2
    machine = facts(ROOT)
    path = options.output or _path(machine)
    results = Results.read(path) if path.exists() and not options.quick else Results(machine)
    with pair(loopback=options.loopback) as places, _others(chosen, places) as others:
        results.machine.update(places=places.described, small=options.quick)
        measuring = _Measuring(options, places, others, results, path)
        failed = [task.name for task in chosen if not measuring.measure(task)]
    _report(results, options)
    if failed:
        print(f"bench: not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class _Measuring:
    """One run of the program."""

    options: argparse.Namespace
    places: Pair
    others: Sequence[Carrier]
    results: Results
    path: Path

    def measure(self, task: Task) -> bool:
        """Measure one row and keep it; False when it failed."""
        load, began = os.getloadavg()[0], time.monotonic()
        with tempfile.TemporaryDirectory(prefix="handoff-bench-", dir=self.options.scratch) as scratch:
            try:
                figures = task.row.measure(self._stage(task, Path(scratch)))
            except PeerMissingError as missing:
                print(f"bench: {task.name} left out: {missing}", file=sys.stderr)
                return True
            except (BenchError, HandoffError) as error:
                print(f"bench: {task.name}: {error}", file=sys.stderr)
                return False
        seconds = round(time.monotonic() - began, 1)
        print(f"\n{task.name}, {seconds} s\n{text_table(lines_of(figures))}", file=sys.stderr, flush=True)
        now = datetime.now(UTC).isoformat("T", "seconds")
        self.results.put(task.name, figures, at=now, load=round(load, 2), seconds=seconds)
        if not self.options.quick or self.options.output:
            self.results.write(self.path)
        return True

    def _stage(self, task: Task, scratch: Path) -> Stage:
        sizes, rounds = (QUICK, 1) if self.options.quick else (FULL, 3)
        return Stage(self.places, task.engine, sizes, self.options.rounds or rounds, self.others, scratch)


@contextmanager
def _others(chosen: Sequence[Task], places: Pair) -> Iterator[Sequence[Carrier]]:
    """The programs that carry files, if a row needs them."""
    if not any(task.row.beside_others for task in chosen):
        yield []
        return
    with (
        tempfile.TemporaryDirectory(prefix="handoff-bench-peers-") as scratch,
        carriers(places, Path(scratch)) as found,
    ):
        yield found


def _parser() -> argparse.ArgumentParser:
    rows = ", ".join(row.name for row in ROWS)
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure the product on this machine, beside others.", epilog=f"Rows: {rows}"
    )
    add = parser.add_argument
    add("--only", action="append", default=[], metavar="ROW", help="measure these alone: tree, random@aiortc, '*@wrtc'")
    add("--engine", action="append", default=[], choices=("wrtc", "aiortc"), help="by default each row knows")
    add("--quick", action="store_true", help="small data, one run of each: shows that measuring works, in a minute")
    add("--rounds", type=int, default=0, help="runs per figure (default 3; 1 with --quick)")
    add("--loopback", action="store_true", help="do without network namespaces")
    add("--scratch", type=Path, help="where data is made: the disk to be measured (default: the system's)")
    add("--output", type=Path, metavar="FILE", help="keep the results here, not in bench/results")
    add("--show", type=Path, metavar="FILE", help="measure nothing: report the kept results of a file")
    add("--plots", type=Path, metavar="DIR", help="draw plots into a directory (extra 'bench')")
    add("--update-readme", action="store_true", help="rewrite the figures in README.md, and its plots")
    add("--list", action="store_true", help="name the rows that would be measured")
    return parser


def _path(machine: dict[str, Any]) -> Path:
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return ROOT / "bench" / "results" / f"{day}-{machine['commit'].rstrip('+')}.json"


def _report(results: Results, options: argparse.Namespace) -> None:
    figures = results.figures()
    print(text_table(lines_of(figures)))
    if results.machine.get("small"):
        print("\nSmall data, one run of each: this shows that measuring works, and says nothing about the goals.")
    else:
        print(f"\n{text_table(lines_of_goals(figures))}")
    if options.plots is not None:
        _draw(figures, options.plots)
    if options.update_readme:
        _draw(figures, PLOTS)
        readme = ROOT / "README.md"
        text = "\n\n".join((markdown_table(lines_of_goals(figures)), *_pictures(), _conditions(results.machine)))
        readme.write_text(with_figures(readme.read_text(encoding="utf-8"), text), encoding="utf-8")


def _draw(figures: Sequence[Figure], place: Path) -> None:
    from bench.plots import draw  # noqa: PLC0415 - the extra 'bench' is needed for this alone

    for path in draw(figures, place):
        print(f"drawn: {path}", file=sys.stderr)


def _pictures() -> list[str]:
    return [f"![{path.stem.replace('-', ' ')}]({path.relative_to(ROOT)})" for path in sorted(PLOTS.glob("*.png"))]


def _conditions(machine: dict[str, Any]) -> str:
    """How the figures came about, for whoever reads the table."""
    commit = machine["commit"].rstrip("+")
    processor = f"{machine['cores']} cores of {machine['cpu'] or 'an unknown processor'}"
    system = f"{machine['system']} {machine['kernel']}, Python {machine['python']}"
    return (
        f"Measured by `./scripts/bench` at commit {commit}: two agents {machine['places']} on one machine, which share "
        f"{processor} ({system}; load {machine['load']} before the start). Ratios: runs taken alternately."
    )


if __name__ == "__main__":
    sys.exit(main())
