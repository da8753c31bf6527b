# SPDX-License-Identifier: Apache-2.0
"""``./scripts/explore``: explores scopes on all cores, prints what it saw, and fails on a violation or a missed bug."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final, TypeVar

from tests.explore.bugs import BUGS, hunt
from tests.explore.scope import Scope
from tests.explore.scopes import CI, DEEP, DEFAULT
from tests.explore.search import Found, explore

T = TypeVar("T")
R = TypeVar("R")
_SETS: Final[dict[str, tuple[tuple[Scope, ...], int]]] = {
    "ci": (CI, 250_000),
    "default": (DEFAULT, 1_000_000),
    "deep": ((*DEEP, *DEFAULT), 10_000_000),
}
"""Scopes, and how many worlds they must have in all: a scope that shrinks unseen proves less."""


def main() -> int:
    """Run it; the exit status is 0 where everything held."""
    arguments = _arguments()
    if arguments.bugs:
        return _bugs(arguments.jobs)
    scopes, least = _SETS[arguments.set]
    chosen = [scope for scope in scopes if arguments.scope in scope.name]
    return _scopes(chosen, 0 if arguments.scope else least, arguments.jobs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/explore", description=__doc__)
    sets = parser.add_mutually_exclusive_group()
    sets.add_argument("--ci", dest="set", action="store_const", const="ci", help="at least 250,000 worlds")
    sets.add_argument("--deep", dest="set", action="store_const", const="deep", help="ten million worlds")
    sets.add_argument("--bugs", action="store_true", help="seed every bug of tests/explore/bugs.py and find it")
    parser.add_argument("--scope", default="", help="only scopes whose name contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.set_defaults(set="default")
    return parser.parse_args()


def _scopes(scopes: Sequence[Scope], least: int, jobs: int) -> int:
    began = time.perf_counter()
    print(f"{'scope':<52} {'worlds':>10} {'steps':>11} {'depth':>5} {'seconds':>8}  verdict")
    bad, worlds, steps, unjudged = 0, 0, 0, []
    for found in _in_parallel(explore, scopes, jobs):
        worlds += found.states
        steps += found.transitions
        bad += found.violation is not None or not found.complete
        unjudged += [] if found.complete else [found.scope]
        print(_line(found), flush=True)
        for number, line in enumerate(found.trace, 1):
            print(f"    {number:3} {line}")
    seconds = time.perf_counter() - began
    print(f"{worlds:,} worlds, {steps:,} steps in {seconds:.0f} s; {bad} scopes with a violation or a stuck world")
    finished = f"not finished, so that I7 was not judged: {', '.join(unjudged)}" if unjudged else "I7 judged in all"
    print(f"all scopes: {finished}")
    if worlds < least:
        print(f"fewer worlds than {least:,}: the scopes shrank")
    return int(bad > 0 or worlds < least)


def _line(found: Found) -> str:
    verdict = found.violation or ("holds" if found.complete else "I1-I6 hold so far, I7 not judged")
    counts = f"{found.states:>10,} {found.transitions:>11,} {found.depth:>5} {found.seconds:>8.1f}"
    return f"{found.scope:<52} {counts}  {verdict}{_remarks(found)}"


def _remarks(found: Found) -> str:
    stuck = f", {found.stuck} stuck" if found.stuck else ""
    return stuck + (f" ({found.unpromised:,} undetectable: not promised)" if found.unpromised else "")


def _bugs(jobs: int) -> int:
    missed = 0
    print(f"{'bug':<62} {'found by':<52} {'steps':>5} {'worlds':>8} {'seconds':>8}")
    for name, found in _in_parallel(hunt, range(len(BUGS)), jobs):
        missed += found.violation is None
        print(
            f"{name:<62} {found.violation or 'NOT FOUND':<52} {len(found.trace):>5} {found.states:>8,}"
            f" {found.seconds:>8.1f}",
            flush=True,
        )
    print(f"{len(BUGS)} seeded bugs, {len(BUGS) - missed} found")
    return int(missed > 0)


def _in_parallel(work: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """Each item in a process of its own, so that nobody inherits tables or a large memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        for done in as_completed([pool.submit(work, item) for item in items]):
            yield done.result()


if __name__ == "__main__":
    sys.exit(main())
