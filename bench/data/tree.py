# SPDX-License-Identifier: Apache-2.0
"""A real tree: the library of the Python installation, again and again until it is large enough. Layer: bench.

Each copy has its letters rotated: text stays text and compresses as before, and yet no two copies share a chunk, which
would travel only once.
"""

from __future__ import annotations

import os
import random
import shutil
import string
import sysconfig
from pathlib import Path
from typing import Final

from p2p_handoff.limits import MIB

LARGEST: Final = 8 * MIB
"""Longer files (the static library of the interpreter) are left out: a handful would be half of all bytes."""
_LEFT_OUT: Final = frozenset({"site-packages", "dist-packages"})


def make(folder: Path, files: int, size: int) -> Path:
    """Copies side by side.

    Args:
        folder: Made.
        files: At least so many files and links; one copy may be cut short when they are reached.
        size: At least so many bytes.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    missing = _Missing(files, size)
    for copy in range(len(string.ascii_lowercase)):
        if missing.done:
            return folder
        _copy(library, folder / f"copy {copy}", _rotation(copy), missing)
    raise ValueError(f"the library at {library} is too small for so large a tree")


def edit(folder: Path, share: float, seed: int) -> None:
    """Insert a line into a share of the files; the same seed edits the same ones, in the same way."""
    paths = sorted(path for path in files_of(folder) if not path.is_symlink())
    numbers = random.Random(seed)  # noqa: S311 - which files are edited is no secret
    for path in numbers.sample(paths, round(len(paths) * share) or int(share > 0)):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + f"\nedit {seed}\n".encode() + content[middle:])


def files_of(folder: Path) -> list[Path]:
    """All files and links beneath a folder."""
    return [Path(top) / name for top, _, names in os.walk(folder) for name in names]


class _Missing:
    """What a tree still lacks."""

    def __init__(self, files: int, size: int) -> None:
        self.files = files
        self.size = size

    @property
    def done(self) -> bool:
        return self.files <= 0 and self.size <= 0


def _copy(source: Path, target: Path, table: bytes, missing: _Missing) -> None:
    target.mkdir(parents=True)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        if missing.done:
            return
        place = target / entry.name
        if entry.is_symlink():
            place.symlink_to(Path(entry.path).readlink())
            missing.files -= 1
        elif entry.is_dir():
            if entry.name not in _LEFT_OUT:
                _copy(Path(entry.path), place, table, missing)
        elif entry.stat().st_size <= LARGEST:
            missing.size -= place.write_bytes(Path(entry.path).read_bytes().translate(table))
            missing.files -= 1
            shutil.copystat(entry.path, place)


def _rotation(by: int) -> bytes:
    """A table that replaces each letter by the one so many places on, in its own case."""
    rotated = [letters[by:] + letters[:by] for letters in (string.ascii_lowercase, string.ascii_uppercase)]
    return bytes.maketrans(string.ascii_letters.encode(), "".join(rotated).encode())
