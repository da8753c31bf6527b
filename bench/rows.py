# SPDX-License-Identifier: Apache-2.0
"""Every row of the benchmark: its name and what measures it. A run can be taken up again by row. Layer: bench."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from bench.figures import Figure
from bench.peers import library_deadlines
from bench.runs import (
    conversation,
    deadlines,
    growth,
    hand_back,
    latency,
    limit,
    memory,
    pause,
    random_file,
    shaped,
    startup,
    store,
    tree,
)
from bench.stage import Stage

Measure = Callable[[Stage], list[Figure]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a group of figures that are measured together."""

    name: str
    measure: Measure
    engines: tuple[str, ...] = ("wrtc", "aiortc")
    """Those that it is measured with, unless the user says otherwise."""
    each: bool = False
    """Once for each engine, unless small; else once, with the first that is here."""
    beside_others: bool = False
    """Needs the programs that carry files."""
    in_quick: bool = True
    """Part of the small form: not what waits for deadlines most of the time, or measures as another row does."""


@dataclass(frozen=True, slots=True)
class Task:
    """A row with its engine."""

    row: Row
    engine: str

    @property
    def name(self) -> str:
        """As ``--only`` and the results have it, such as ``random@wrtc``."""
        return f"{self.row.name}@{self.engine}"


ROWS: Final = (
    Row("startup", startup.measure),
    Row("limit", limit.measure),
    Row("random", random_file.measure, each=True, beside_others=True),
    Row("tree", tree.measure, beside_others=True),
    Row("conversation", conversation.measure, beside_others=True),
    Row("latency", latency.measure, each=True, in_quick=False),
    Row("pause", pause.measure),
    Row("hand-back", hand_back.measure),
    Row("store", store.measure, in_quick=False),
    Row("growth-bytes", growth.against_bytes, in_quick=False),
    Row("growth-files", growth.against_files),
    Row("memory", memory.measure),
    Row("delay", shaped.delay, each=True, in_quick=False),
    Row("loss", shaped.loss, each=True, in_quick=False),
    Row("deadlines", deadlines.measure, each=True, in_quick=False),
    Row("library-deadlines", library_deadlines.measure, ("aiortc",), in_quick=False),
)


def tasks(only: Sequence[str], engines: Sequence[str], here: Sequence[str], *, quick: bool) -> Iterator[Task]:
    """What is measured, in order.

    Args:
        only: Patterns such as ``tree`` or ``*@aiortc``; empty for all.
        engines: Those that the user wants, for every row; empty leaves it to the rows.
        here: Those that this machine has.
        quick: The small form.
    """
    for row in ROWS:
        wanted = [engine for engine in engines or row.engines if engine in here]
        for engine in wanted if engines or (row.each and not quick) else wanted[:1]:
            task = Task(row, engine)
            if (any(_fits(task, pattern) for pattern in only)) if only else (row.in_quick or not quick):
                yield task


def _fits(task: Task, pattern: str) -> bool:
    return fnmatchcase(task.name, pattern) or fnmatchcase(task.row.name, pattern)
