# SPDX-License-Identifier: Apache-2.0
"""Several pairs of devices side by side, each in a thread of its own, and the queue of cases they work through."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.bugs import Bug
from tests.chaos.bugs import cases as hiding_places
from tests.chaos.cases import KINDS, Case, Side, Stage, Way
from tests.chaos.nursery import Nursery
from tests.chaos.pair import Pair
from tests.chaos.plan import Measured
from tests.chaos.run import Result, Run
from tests.chaos.warden import Call


class Arena:
    """The pairs of one invocation; no process is left at the end of the block.

    Args:
        base: A directory of its own; removed by the caller.
        kept: Where the devices of failed runs are copied.
        jobs: Runs at a time.
    """

    def __init__(self, base: Path, kept: Path, jobs: int) -> None:
        self._kept = kept
        self._nursery = Nursery()
        self._pairs = [Pair(base / str(index), self._nursery) for index in range(jobs)]
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="pair")
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if kind is not None:  # A run that goes on would start more: take its processes away.
            for pair in self._pairs:
                pair.give_up()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for pair in self._pairs:
            pair.kill()
        self._nursery.close()

    def prepare(self, stages: Sequence[Stage]) -> None:
        """Link the devices of every pair and make these stages."""
        for future in [self._threads.submit(_make, pair, stages) for pair in self._pairs]:
            future.result()

    def measure(self, places: Sequence[tuple[Way, Stage]]) -> Measured:
        """Which calls are made when nothing happens.

        Raises:
            RuntimeError: Not even that works.
        """
        found: dict[tuple[Way, Stage, Side], tuple[Call, ...]] = {}
        for result in self.run([Case(KINDS["none"], way, stage, Side.SOURCE, 0) for way, stage in places]):
            way, stage = result.case.way, result.case.stage
            if result.violations:
                raise RuntimeError(f"{way.value} in {stage.value} without any fault fails: {result.violations}")
            found.update({(way, stage, side): calls for side, calls in result.calls.items()})
        return found

    def hunt(self, bugs: Sequence[Bug], measured: Measured) -> Iterator[tuple[Bug, int, Result | None]]:
        """Plant each bug in turn; yields how many runs it took to find it, and the run that did, or None."""
        for bug in bugs:
            self._pairs[0].sabotage(bug.name)
            tried, found = 0, None
            for case in hiding_places(bug, measured):
                result = Run(self._pairs[0], case).carry_out()
                tried += 1
                if result.violations:
                    found = result
                    break
            self._pairs[0].sabotage("")
            yield bug, tried, found

    def run(self, cases: Sequence[Case], *, seconds: float = float("inf"), least: int = 0) -> Iterator[Result]:
        """Run cases; yields each as it ends.

        Args:
            cases: What to run.
            seconds: After this no further one begins,
            least: but at least so many do.
        """
        waiting: queue.SimpleQueue[Case] = queue.SimpleQueue()
        for case in cases:
            waiting.put(case)
        free = list(self._pairs)
        running: dict[Future[Result], Pair] = {}
        started, begun = time.monotonic(), 0
        while True:
            late = time.monotonic() - started > seconds and begun >= least
            while free and not waiting.empty() and not late and not self._stop.is_set():
                pair = free.pop()
                running[self._threads.submit(self._one, pair, waiting.get())] = pair
                begun += 1
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                free.append(running.pop(future))
                yield future.result()

    def _one(self, pair: Pair, case: Case) -> Result:
        result = Run(pair, case).carry_out()
        if result.violations and not self._stop.is_set():
            result.kept = self._kept / str(case).replace("/", "-")
            pair.keep(result.kept)
        return result


def _make(pair: Pair, stages: Sequence[Stage]) -> None:
    for stage in stages:
        pair.make(stage)
