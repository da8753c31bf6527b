# SPDX-License-Identifier: Apache-2.0
"""Seeded runs of whole agents, many of them. Run by ``scripts/simulate``; exit code 1 when a promise was broken.

A run is a function of its seed alone: a seed that fails is printed with the command that replays it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from tests.simulate.run import run
from tests.simulate.story import Result

CI_SECONDS: Final = 45.0
"""Wall-clock seconds after which ``--ci`` begins no further runs."""
CI_RUNS: Final = 150
"""Seeds of ``--ci`` at most: a fast machine runs no others than a slow one."""
_CHUNK: Final = 10


@dataclass(slots=True)
class Total:
    """All runs together."""

    runs: int = 0
    handoffs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    failed: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one run."""
        self.runs += 1
        self.handoffs += result.handoffs
        self.kinds[result.kind] += 1
        self.outcomes += result.outcomes
        self.faults += result.faults
        self.longest = max(self.longest, result.resolved_after)
        if result.failure:
            self.failed.append(result)


def main() -> int:
    """Run the seeds."""
    options = _options()
    if options.replay is not None:
        return _replay(options.replay)
    began = time.monotonic()
    total = Total()
    until = began + CI_SECONDS if options.ci else float("inf")
    runs = min(options.runs, CI_RUNS) if options.ci else options.runs
    for result in _results(options.seed, runs, options.jobs, until):
        total.add(result)
        if result.failure:
            print(f"seed {result.seed}: {result.failure}", flush=True)
            print(f"  replay it: ./scripts/simulate --replay {result.seed}", flush=True)
        if total.runs % 500 == 0:
            print(f"{total.runs} runs, {total.handoffs} handoffs, {len(total.failed)} failed", flush=True)
    _report(total, time.monotonic() - began, options.seed)
    return 1 if total.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="how many seeds (1000)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once (one per CPU)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and print its trace")
    parser.add_argument(
        "--ci", action="store_true", help=f"at most {CI_RUNS} runs, those that begin within {CI_SECONDS:g} seconds"
    )
    return parser.parse_args()


def _results(first: int, runs: int, jobs: int, until: float) -> Iterator[Result]:
    chunks = [range(seed, min(seed + _CHUNK, first + runs)) for seed in range(first, first + runs, _CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_chunk, chunk, until) for chunk in chunks]
        for done in waiting:
            yield from done.result()


def _chunk(seeds: range, until: float) -> list[Result]:
    logging.disable(logging.CRITICAL)
    # The clock of all processes of one machine is the same (CLOCK_MONOTONIC).
    return [_one(seed) for seed in seeds if time.monotonic() < until]


def _one(seed: int) -> Result:
    result = run(seed)
    if not result.failure:
        result.trace = ""
    return result


def _replay(seed: int) -> int:
    logging.disable(logging.CRITICAL)
    result = run(seed)
    print(result.trace)
    print(f"seed {seed}: {result.failure or 'every promise held'} (trace {result.digest})")
    return 1 if result.failure else 0


def _report(total: Total, seconds: float, first: int) -> None:
    rate = total.handoffs / seconds if seconds else 0.0
    print(f"{total.runs} runs (seeds {first} to {first + total.runs - 1}), {total.handoffs} handoffs")
    print(f"  stories:   {_counts(total.kinds)}")
    print(f"  asked for: {_counts(total.outcomes)}")
    print(f"  faults:    {_counts(total.faults)}")
    print(f"  longest way back from the last fault: {total.longest:.1f} simulated seconds")
    print(f"  {seconds:.0f} s, {rate:.1f} handoffs/s, {len(total.failed)} broken promises")


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())
