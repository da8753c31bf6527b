# SPDX-License-Identifier: Apache-2.0
"""Finds out by trying what a file system takes for the same name, and what modes it gives. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §6. The answer depends on the mount and even on the directory (ext4's
casefold), so it is probed in the staging directory itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from p2p_handoff.adapters.platform_files import exists
from p2p_handoff.errors import PathError
from p2p_handoff.session.paths import check_siblings, safe_component

_PROBE: Final = "handoff-Prob\u00e9".encode()
_OTHER_CASE: Final = "HANDOFF-pROB\u00e9".encode()
_DECOMPOSED: Final = "handoff-Probe\u0301".encode()
_NOT_UTF8: Final = b"handoff-prob\xff"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a directory's file system does with names and modes."""

    case_insensitive: bool
    normalises_unicode: bool
    takes_any_bytes: bool
    """False where names must be UTF-8 (macOS)."""
    full_mode: int
    """0777 without the process's umask."""

    def check(self, names: Iterable[bytes]) -> None:
        """Refuse names of one directory that cannot stand side by side here.

        Raises:
            PathError: Two of them collide, or one cannot be represented.
        """
        listed = list(names)
        for name in listed:
            safe_component(name)
            if not self.takes_any_bytes and not _is_utf8(name):
                raise PathError(f"the name {name[:40]!r} is not UTF-8, and this device has only such names")
        if self.case_insensitive or self.normalises_unicode:
            check_siblings(listed, case_insensitive=self.case_insensitive, normalise_unicode=self.normalises_unicode)

    def mode(self, *, executable: bool) -> int:
        """The permissions of a file from a peer: nothing but the execute bit is the peer's."""
        return self.full_mode if executable else self.full_mode & 0o666


def probe(directory: int) -> Traits:
    """Try it out.

    Args:
        directory: Descriptor of an empty directory of ours.

    Raises:
        OSError: It cannot be written to.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    created = os.open(_PROBE, flags, 0o777, dir_fd=directory)
    try:
        return Traits(
            case_insensitive=exists(directory, _OTHER_CASE),
            normalises_unicode=exists(directory, _DECOMPOSED),
            takes_any_bytes=_takes_any_bytes(directory),
            full_mode=os.fstat(created).st_mode & 0o777,
        )
    finally:
        os.close(created)
        os.unlink(_PROBE, dir_fd=directory)


def _takes_any_bytes(directory: int) -> bool:
    with suppress(OSError):
        os.mkdir(_NOT_UTF8, dir_fd=directory)
        os.rmdir(_NOT_UTF8, dir_fd=directory)
        return True
    return False


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
