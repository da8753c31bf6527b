# SPDX-License-Identifier: Apache-2.0
"""Bytes that neither compress nor repeat. Layer: bench."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

from p2p_handoff.limits import KIB, MIB

EXTENT: Final = 64 * KIB
"""Bytes of one edit in place: what a database or a disk image writes at once."""


def make(folder: Path, size: int) -> Path:
    """A folder with one file of fresh random bytes.

    Args:
        folder: Made.
        size: Bytes.
    """
    folder.mkdir(parents=True)
    with (folder / "random").open("wb") as opened:
        for position in range(0, size, MIB):
            opened.write(os.urandom(min(MIB, size - position)))
    return folder


def edit(folder: Path, share: float, seed: int) -> None:
    """Overwrite a share of the file's bytes, in extents at random places; the same seed writes the same bytes."""
    numbers = random.Random(seed)  # noqa: S311 - which bytes are edited is no secret
    path = folder / "random"
    size = path.stat().st_size
    with path.open("r+b") as opened:
        for _ in range(round(size * share / EXTENT) or int(share > 0)):
            opened.seek(numbers.randrange(max(1, size - EXTENT)))
            opened.write(numbers.randbytes(min(EXTENT, size)))
