# SPDX-License-Identifier: Apache-2.0
"""Which paths of a folder are none of our business. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §3. Only ``.handoffignore`` at the top of the folder counts, in gitignore
syntax; ``.gitignore`` does not, because uncommitted and untracked work is what a handoff is for. Our own staging
directories and cookies are always ignored, at any depth.
"""

from __future__ import annotations

import os
import re
from typing import Final

from pathspec import GitIgnoreSpec

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.watcher import COOKIE_PREFIX
from p2p_handoff.errors import HandoffError, UsageError
from p2p_handoff.limits import MAX_NAME_BYTES, MIB

IGNORE_FILE: Final = b".handoffignore"
MAX_IGNORE_FILE: Final = MIB
"""Bytes of an ignore file that are honoured: a larger one is not a list of patterns."""
_OWN: Final = re.compile(rb"\..+\.handoff-[A-Za-z0-9_-]+", re.DOTALL)
_STAGING: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COOKIE: Final = os.fsencode(COOKIE_PREFIX)


def staging_name(part: bytes, name: str) -> bytes:
    """The hidden sibling directory that stages a part.

    Args:
        part: Name of the part's file or directory.
        name: Names the staging: letters, digits, ``-`` and ``_``.

    Raises:
        UsageError: ``name`` is something else.
    """
    if not _STAGING.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a staging directory")
    suffix = b".handoff-" + name.encode("ascii")
    room = MAX_NAME_BYTES - len(suffix) - 1
    short = part if len(part) <= room else part[:room].decode("utf-8", "ignore").encode("utf-8")
    return b"." + short + suffix


def is_own(name: bytes) -> bool:
    """True for names that this program makes for itself."""
    return name.startswith(b".") and (name.startswith(_COOKIE) or _OWN.fullmatch(name) is not None)


def looks_like_staging(name: bytes) -> bool:
    """True for names that are left out because stagings have such names, whoever gave them."""
    return name.startswith(b".") and not name.startswith(_COOKIE) and _OWN.fullmatch(name) is not None


class IgnoreRules:
    """Patterns in gitignore syntax.

    Args:
        text: The bytes of a ``.handoffignore``; lines that are no pattern are passed over, as git does.
    """

    def __init__(self, text: bytes = b"") -> None:
        self.text = text
        lines = text.decode("utf-8", "surrogateescape").splitlines()
        self._spec = GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])
        self._empty = not any(pattern.include is not None for pattern in self._spec.patterns)

    def ignores(self, path: bytes, *, directory: bool) -> bool:
        """True when a path must be neither sent nor removed.

        Args:
            path: Relative to the folder, components joined by ``/``. Its parents are not ignored themselves.
            directory: Whether it is a directory: patterns that end in ``/`` match nothing else.
        """
        if is_own(path.rpartition(b"/")[2]):
            return True
        return not self._empty and self._spec.match_file(os.fsdecode(path) + "/" * directory)

    def ignores_within(self, path: bytes, *, directory: bool) -> bool:
        """As ``ignores``, for a path whose parents were not asked about."""
        parts = path.split(b"/")
        parents = (b"/".join(parts[:length]) for length in range(1, len(parts)))
        return any(self.ignores(parent, directory=True) for parent in parents) or self.ignores(
            path, directory=directory
        )


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def load_rules(root: int) -> IgnoreRules:
    """The rules of a folder; none where its ignore file is missing or unreadable.

    Args:
        root: Descriptor of the folder.
    """
    try:
        return IgnoreRules(beneath.read_whole(root, IGNORE_FILE, MAX_IGNORE_FILE))
    except HandoffError:
        return IgnoreRules()
