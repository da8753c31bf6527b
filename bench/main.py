# SPDX-License-Identifier: Apache-2.0
"""Measure the product on this machine, print a table, keep the figures: ``./scripts/bench``. Layer: bench.

Every ratio is formed from runs taken alternately. Results go to ``bench/results``; with ``--update-readme`` the
table in README.md between its two markers is rewritten too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench import deadlines, latency, library_deadlines, throughput
from bench.devices import BenchError
from bench.figures import Figure, markdown_table, text_table, with_figures
from bench.machine import facts
from bench.places import Pair, pair
from bench.throughput import Load
from p2p_handoff.engines.native_engine import available
from p2p_handoff.errors import HandoffError

ROOT: Final = Path(__file__).resolve().parent.parent
GROUPS: Final = ("throughput", "latency", "deadlines", "library")
Measurement = Callable[[Path], list[Figure]]


def main() -> int:
    """Measure and report.

    Returns:
        The exit code: 1 when something could not be measured.
    """
    options = _parser().parse_args()
    machine = facts(ROOT)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="handoff-bench-") as scratch, pair(loopback=options.loopback) as places:
        numbers = count()
        for measure in _plan(options, places):
            root = Path(scratch) / str(next(numbers))
            root.mkdir()
            try:
                found = measure(root)
            except (BenchError, HandoffError) as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
            print(text_table(found), file=sys.stderr, flush=True)
            figures += found
    _keep(figures, {**machine, "places": places.described})
    print(text_table(figures))
    if options.update_readme:
        readme = ROOT / "README.md"
        table = markdown_table(figures, _conditions(machine, places))
        readme.write_text(with_figures(readme.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the product on this machine.")
    parser.add_argument("--only", action="append", choices=GROUPS, help="measure this group alone; may be repeated")
    parser.add_argument("--engine", action="append", choices=("wrtc", "aiortc"), help="by default all that are here")
    parser.add_argument("--rounds", type=int, default=3, help="runs per figure (default 3)")
    parser.add_argument("--wrtc-mib", type=int, default=64, help="file for the fast engine (default 64 MiB)")
    parser.add_argument("--aiortc-mib", type=int, default=16, help="file for the other engine (default 16 MiB)")
    parser.add_argument("--loopback", action="store_true", help="do without network namespaces")
    parser.add_argument("--update-readme", action="store_true", help="rewrite the table in README.md")
    return parser


def _plan(options: argparse.Namespace, places: Pair) -> Iterator[Measurement]:
    groups = options.only or GROUPS
    for engine in options.engine or (["wrtc", "aiortc"] if available() else ["aiortc"]):
        if "throughput" in groups:
            load = Load(engine, options.wrtc_mib if engine == "wrtc" else options.aiortc_mib, options.rounds)
            yield partial(throughput.measure, places, load)
        if "latency" in groups:
            yield partial(latency.measure, places, engine, options.rounds)
        if "deadlines" in groups:
            yield partial(deadlines.measure, places, engine, options.rounds)
    if "library" in groups:
        yield partial(library_deadlines.measure, places)


def _keep(figures: list[Figure], machine: dict[str, Any]) -> None:
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    record = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
    path = results / f"{day}-{machine['commit'].rstrip('+')}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _conditions(machine: dict[str, Any], places: Pair) -> str:
    """How the figures came about, for whoever reads the table."""
    commit = machine["commit"].rstrip("+")
    processor = f"{machine['cores']} cores of {machine['cpu'] or 'an unknown processor'}"
    system = f"{machine['system']} {machine['kernel']}, Python {machine['python']}"
    return (
        f"Measured by `./scripts/bench` at commit {commit}: two agents {places.described} on one machine, which share "
        f"{processor} ({system}; load {machine['load']} before the start). Ratios: runs taken alternately."
    )


if __name__ == "__main__":
    sys.exit(main())
