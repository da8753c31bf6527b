# SPDX-License-Identifier: Apache-2.0
"""A person who writes on, handoff or not: so many edits a second, each with a number of its own. Layer: bench.

    python -m bench.data.writer FOLDER FIRST PER_SECOND

Appends one line with a number to one of a few files, until standard input ends. Prints the first number not written.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path
from typing import Final

FILES: Final = 20
PREFIX: Final = "written "


def main() -> None:
    """Write until told to stop."""
    folder, number, period = Path(sys.argv[1]), int(sys.argv[2]), 1 / float(sys.argv[3])
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        with (folder / f"{PREFIX}{number % FILES}.txt").open("a", encoding="ascii") as opened:
            opened.write(f"{number}\n")
        number += 1
        due += period
    print(number)


def numbers_in(*folders: Path) -> set[int]:
    """Every number that is in a file of the writer or a copy of one, anywhere beneath the folders."""
    paths = [path for folder in folders for path in folder.rglob(f"*{PREFIX}*") if path.is_file()]
    return {int(line) for path in paths for line in path.read_text(encoding="ascii").splitlines()}


if __name__ == "__main__":
    main()
