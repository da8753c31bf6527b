# SPDX-License-Identifier: Apache-2.0
"""The inputs kept in the repository: ``tests/fuzz/corpus/TARGET/`` holds odd ones and every past finding."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.target import Target

DIRECTORY: Final = Path(__file__).parent / "corpus"
FOUND: Final = "found-"
"""Begins the names of inputs that once broke a promise."""


def kept(target: Target) -> list[Path]:
    """The files kept for a target."""
    return sorted((DIRECTORY / target.name).glob("*"))


def inputs(target: Target) -> Sequence[bytes]:
    """Everything that a run of a target starts from; never empty."""
    return list(dict.fromkeys([*target.seeds(), *(path.read_bytes() for path in kept(target))])) or [b""]


def keep(target: Target, data: bytes, prefix: str = FOUND) -> Path:
    """Write an input to the corpus; returns its path."""
    path = DIRECTORY / target.name / f"{prefix}{hashlib.sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
