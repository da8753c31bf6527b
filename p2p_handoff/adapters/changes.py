# SPDX-License-Identifier: Apache-2.0
"""Remembers which paths of a folder changed since somebody looked. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §3. What cannot be told completely is not told at all: then the folder is walked.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

MAX_CHANGES: Final = 20_000
"""Paths that are remembered; to look at more of them one by one costs more than a walk."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be looked at. Paths are relative to the watched directory, components joined by ``/``."""

    entries: frozenset[bytes] = frozenset()
    """Names that may be there or not, and whatever stands under them; of directories not what lies beneath."""
    trees: frozenset[bytes] = frozenset()
    """Directories of which everything is to be looked at, such as new ones."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.trees)


class ChangeLog:
    """Gathers changes from one thread for another one. Begins with all being unknown."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._entries: set[bytes] = set()
        self._trees: set[bytes] = set()
        self._missed = True
        self._blind = False

    def entry(self, path: bytes) -> None:
        """A name was made, removed or changed."""
        with self._turn:
            self._entries.add(path)
            self._bound()

    def tree(self, path: bytes) -> None:
        """A directory is new, or became visible."""
        with self._turn:
            self._trees.add(path)
            self._bound()

    def missed(self) -> None:
        """Changes happened that are not known; from now on they are again."""
        with self._turn:
            self._missed = True

    def blind(self) -> None:
        """Changes happen that will never be known."""
        with self._turn:
            self._blind = True

    def take(self) -> Changes | None:
        """Everything since the last call; None when something is missing."""
        with self._turn:
            known = not (self._missed or self._blind)
            taken = Changes(frozenset(self._entries), frozenset(self._trees)) if known else None
            self._entries.clear()
            self._trees.clear()
            self._missed = False
            return taken

    def _bound(self) -> None:
        if len(self._entries) + len(self._trees) > MAX_CHANGES:
            self._missed = True
            self._entries.clear()
            self._trees.clear()
