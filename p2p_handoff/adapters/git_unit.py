# SPDX-License-Identifier: Apache-2.0
"""Knows when a ``.git`` directory holds still. Layer: I/O ring, adapters. Specification: docs/specs/adapters.md §4.

A repository is one unit: its files only make sense together. Git announces a change by ``*.lock`` files at the
top of ``.git``; a picture is good when no lock was there before and after, and nothing central changed between.
A lock that outlives the patience is a crashed git's, and part of the state that is handed off.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

GIT: Final = b".git"
PATIENCE: Final = 5.0
"""Seconds to wait for the locks of one repository."""
_POLL: Final = 0.02
_CENTRAL: Final = ("HEAD", "index", "packed-refs", "logs/HEAD", "MERGE_HEAD")


@dataclass(frozen=True, slots=True)
class Stillness:
    """What a repository looked like before it was read."""

    locks: frozenset[str]
    central: tuple[tuple[int, int, int] | None, ...]
    """(inode, bytes, mtime in ns) of the files that every git command which changes something touches."""


def observe(repository: int) -> Stillness:
    """How a repository looks now.

    Args:
        repository: Descriptor of a ``.git`` directory.
    """
    locks = frozenset(name for name in os.listdir(repository) if name.endswith(".lock"))
    return Stillness(locks, tuple(_fingerprint(repository, name) for name in _CENTRAL))


def wait_until_still(repository: int, patience: float = PATIENCE) -> Stillness:
    """Wait until no lock is there, or until the patience (seconds) ends.

    Args:
        repository: Descriptor of a ``.git`` directory.
        patience: Seconds to wait at most.
    """
    deadline = time.monotonic() + patience
    while (now := observe(repository)).locks and time.monotonic() < deadline:
        time.sleep(_POLL)
    return now


def _fingerprint(repository: int, name: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(name, dir_fd=repository, follow_symlinks=False)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
