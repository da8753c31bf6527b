# SPDX-License-Identifier: Apache-2.0
"""A conversation: JSON lines of some hundred bytes, which grows at its end. Layer: bench."""

from __future__ import annotations

import json
import random
from pathlib import Path


def make(path: Path, size: int) -> Path:
    """A conversation of at least so many bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _append(path, size, seed=0)
    return path


def edit(path: Path, share: float, seed: int) -> None:
    """Let it go on: append messages of a share of its bytes; the same seed appends the same ones."""
    if share > 0:
        _append(path, round(path.stat().st_size * share), seed)


def _append(path: Path, size: int, seed: int) -> None:
    numbers = random.Random(seed)  # noqa: S311 - what is said is no secret
    with path.open("ab") as opened:
        before = opened.tell()
        while opened.tell() - before < size:
            opened.write(_line(numbers, opened.tell()))


def _line(numbers: random.Random, position: int) -> bytes:
    """One message of about 500 bytes that no compressor shortens much."""
    message = {"role": "user", "number": position, "text": numbers.randbytes(220).hex()}
    return json.dumps(message).encode() + b"\n"
