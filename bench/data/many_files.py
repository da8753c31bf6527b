# SPDX-License-Identifier: Apache-2.0
"""So many files of one size, in directories of at most a hundred. Layer: bench."""

from __future__ import annotations

import os
from pathlib import Path


def make(folder: Path, files: int, size: int) -> Path:
    """Random files.

    Args:
        folder: Made.
        files: How many.
        size: Bytes of each.
    """
    for number in range(files):
        directory = folder / str(number // 100)
        if number % 100 == 0:
            directory.mkdir(parents=True)
        (directory / str(number)).write_bytes(os.urandom(size))
    return folder
