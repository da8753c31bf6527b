# SPDX-License-Identifier: Apache-2.0
"""The process that runs targets for ``./scripts/fuzz``: it may die, and what killed it is still known.

Prints a line of JSON for each target. Before each input it writes it to a file that the parent reads when this process
is gone.
"""

from __future__ import annotations

import json
import logging
import mmap
import sys
from pathlib import Path
from typing import Final

from tests.fuzz.engine import Run, fuzz
from tests.fuzz.targets import TARGETS

ROOM: Final = 1 << 20
"""Bytes of the file: the longest input with its length before it."""
_HEAD: Final = 4


def main() -> int:
    """Run it: arguments are the file for inputs, the number of executions, the seed, and the targets' names."""
    logging.disable(logging.CRITICAL)
    note, executions, seed, *names = sys.argv[1:]
    with Path(note).open("r+b") as opened, mmap.mmap(opened.fileno(), ROOM) as memory:

        def about_to(data: bytes) -> None:
            memory[:_HEAD] = len(data).to_bytes(_HEAD, "big")
            memory[_HEAD : _HEAD + len(data)] = data

        for name in names:
            sys.stdout.write(_line(fuzz(TARGETS[name], int(executions), int(seed), about_to)))
            sys.stdout.flush()
    return 0


def noted(note: Path) -> bytes:
    """The input that a process wrote last."""
    data = note.read_bytes()
    return data[_HEAD : _HEAD + int.from_bytes(data[:_HEAD], "big")]


def _line(run: Run) -> str:
    return (
        json.dumps(
            {
                "target": run.target,
                "executions": run.executions,
                "taken": run.taken,
                "seconds": round(run.seconds, 3),
                "slowest": round(run.slowest, 4),
                "slowest_input": run.slowest_input.hex(),
                "grown_kib": run.grown_kib,
                "findings": [[data.hex(), error[:500]] for data, error in run.findings],
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
