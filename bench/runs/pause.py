# SPDX-License-Identifier: Apache-2.0
"""The pause of a session that is written to all the time, and whether an edit is lost in it. Layer: bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from bench.data import random_file, writer
from bench.devices import BenchError
from bench.figures import Figure, Statistic
from bench.runs.handing_over import BackAndForth, warm_pair
from bench.sizes import human
from bench.stage import Stage

EDITS_PER_SECOND: Final = 50


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine: the session goes there and back while the owner's folder is written to.

    The writer goes on until the command has ended, through the pause and beyond. What it wrote too late stays on the
    source and is merged when the session comes back; it counts as lost when it is on neither device in the end.

    Raises:
        BenchError: A run failed.
    """
    pauses: list[float] = []
    number = 0
    with warm_pair(stage, stage.scratch) as (left, right):
        there = random_file.make(stage.scratch / "session", stage.sizes.session)
        session = BackAndForth(left, right, there)
        here = session.go(start=True).place
        for _ in range(stage.sizes.pauses):
            with _Writer(session.path, number) as writing:
                pauses.append(session.go().pause_ms)
                number = writing.stop()
        lost = set(range(number)) - writer.numbers_in(there, here)
    name = f"{stage.engine}: {human(stage.sizes.session)} session, {EDITS_PER_SECOND} edits a second"
    return [
        Figure(f"{name}: pause", "ms", tuple(pauses), goal="pause", statistic=Statistic.P95),
        Figure(f"{name}: lost of {number:,} edits", "edits", (float(len(lost)),), goal="edits lost"),
    ]


class _Writer:
    """A running writer."""

    def __init__(self, folder: Path, first: int) -> None:
        argv = [sys.executable, "-m", "bench.data.writer", str(folder), str(first), str(EDITS_PER_SECOND)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def stop(self) -> int:
        """End it; the first number that it did not write.

        Raises:
            BenchError: It had ended by itself.
        """
        said, _ = self._process.communicate()
        if self._process.returncode:
            raise BenchError("the writer failed")
        return int(said)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
