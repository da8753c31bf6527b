# SPDX-License-Identifier: Apache-2.0
"""What a power cut takes that a kill does not: bytes that were written and never synced.

The worst that a journaling file system may do: every name, mode and size of a directory has reached the disk, and of
a file's content only what a sync has made safe. Before the first write after a sync the content is remembered; when the
power goes it is put back. A file that was renamed into its place without a sync is then empty.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Safe:
    """What of one file is on the disk."""

    descriptor: int
    """Of our own: the file may have no name, or another one, when the power goes."""
    content: bytes


class Unsynced:
    """The files of one process that are not all on the disk."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, int], _Safe] = {}

    def written(self, path: str) -> None:
        """A file is about to be written.

        Args:
            path: Leads to it; ``/proc/<pid>/fd/<n>`` does, whatever its name is now.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if key in self._files:
            os.close(descriptor)
        else:
            self._files[key] = _Safe(descriptor, _content(descriptor))

    def synced(self, path: str) -> None:
        """A file is about to be synced: what it holds now is safe."""
        status = Path(path).stat()
        safe = self._files.pop((status.st_dev, status.st_ino), None)
        if safe is not None:
            os.close(safe.descriptor)

    def all_synced(self) -> None:
        """The whole file system is."""
        for safe in self._files.values():
            os.close(safe.descriptor)
        self._files.clear()

    def lose(self) -> None:
        """The power has gone, and the process with it."""
        for safe in self._files.values():
            os.ftruncate(safe.descriptor, 0)
            os.pwrite(safe.descriptor, safe.content, 0)
        self.all_synced()


def _content(descriptor: int) -> bytes:
    pieces = []
    offset = 0
    while piece := os.pread(descriptor, _CHUNK, offset):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)
