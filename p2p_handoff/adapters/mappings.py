# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are mapped into memory to be written to. Layer: I/O ring, adapters. Linux; empty elsewhere.

Specification: docs/specs/adapters.md §3. What is written through a mapping is told to no watcher. The kernel lists the
mappings of every process of this user: a few milliseconds, however large the folder is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROCESSES: Final = "/proc"
_WRITABLE_SHARED: Final = re.compile(rb"^\S+ .w.s \S+ \S+ [1-9]\d* +(/.*)$", re.MULTILINE)
_ESCAPED: Final = re.compile(rb"\\012")


def mapped_for_writing(folder: Path) -> frozenset[bytes]:
    """Paths relative to a folder, components joined by ``/``, of files that a visible process can write to in memory.

    Args:
        folder: Absolute, links resolved.
    """
    prefix = os.fsencode(folder) + b"/"
    found = {_ESCAPED.sub(b"\n", path) for listed in _maps() for path in _WRITABLE_SHARED.findall(listed)}
    return frozenset(path[len(prefix) :] for path in found if path.startswith(prefix))


def _maps() -> Iterator[bytes]:
    try:
        processes = [entry.name for entry in os.scandir(_PROCESSES)]
    except OSError:
        return
    for process in processes:
        if process.isdigit():
            try:
                yield Path(_PROCESSES, process, "maps").read_bytes()
            except OSError:
                continue  # it ended, or is another user's
