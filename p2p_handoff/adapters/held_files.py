# SPDX-License-Identifier: Apache-2.0
"""Reads ranges of files beneath a directory, one after another. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §6. Chunks of one file, and files of one directory, are mostly asked for in a
row: the last file and the last directory stay open between two reads. No link is followed on the way to either.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import Final, Self

from p2p_handoff.adapters import beneath
from p2p_handoff.errors import PathError

_CLOSED: Final = -1
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class HeldFiles:
    """Reads for one thread; a context manager that closes what it holds.

    Args:
        root: Descriptor of the directory to stay beneath; it stays open as long as this is used.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._directory, self._directory_path = _CLOSED, b""
        self._file, self._file_path = _CLOSED, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """Bytes of a regular file from an offset; fewer than asked for only where it ends.

        Args:
            path: Components joined by ``/``.
            offset: Where to begin.
            length: How many bytes.

        Raises:
            OSError: It is missing or a link stands in the way.
            PathError: It is not a regular file.
        """
        if self._file == _CLOSED or self._file_path != path:
            self._open(path)
        return beneath.read_range(self._file, offset, length)

    def close(self) -> None:
        """Close what is open; the next read opens it again."""
        self._close_file()
        self._close_directory()

    def _open(self, path: bytes) -> None:
        self._close_file()
        parent, _, name = path.rpartition(b"/")
        opened = os.open(name, _FLAGS, dir_fd=self._parent(parent))
        self._file, self._file_path = opened, path
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            self._close_file()
            raise PathError(f"{os.fsdecode(path)!r} is not a regular file")

    def _parent(self, path: bytes) -> int:
        if not path:
            return self._root
        if self._directory == _CLOSED or self._directory_path != path:
            self._close_directory()
            self._directory = beneath.open_directory(self._root, tuple(path.split(b"/")))
            self._directory_path = path
        return self._directory

    def _close_file(self) -> None:
        if self._file != _CLOSED:
            os.close(self._file)
            self._file = _CLOSED

    def _close_directory(self) -> None:
        if self._directory != _CLOSED:
            os.close(self._directory)
            self._directory = _CLOSED
