# SPDX-License-Identifier: Apache-2.0
"""A small file system under one device, which can be filled to the last block and freed again. Needs root."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

SIZE: Final = 40 * 1024 * 1024
"""Bytes: a target wants 16 MiB free beyond what arrives."""
_BLOCK: Final = 4096


def missing() -> str | None:
    """Why none can be mounted here; None when it can."""
    return None if os.geteuid() == 0 else "mounting a small file system needs root"


class SmallDisk:
    """One of them.

    Args:
        place: The device's directory; what is in it moves onto the small disk.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._ballast = place / "ballast"
        self._mounted = False

    def mount(self) -> None:
        """Put the device on it.

        Raises:
            subprocess.CalledProcessError: It cannot be mounted.
        """
        aside = self._place.with_name(self._place.name + ".aside")
        shutil.copytree(self._place, aside, symlinks=True)
        options = f"size={SIZE},mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "handoff-chaos", str(self._place)], check=True)
        self._mounted = True
        self._back_from(aside)

    def fill(self) -> None:
        """Leave not one block free."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(_BLOCK))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away, with what is on it copied back as evidence; nobody uses it any more."""
        if not self._mounted:
            return
        aside = self._place.with_name(self._place.name + ".aside")
        shutil.copytree(self._place, aside, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
        subprocess.run(["umount", str(self._place)], check=True)
        self._mounted = False
        shutil.rmtree(self._place)
        self._back_from(aside)

    def _back_from(self, aside: Path) -> None:
        shutil.copytree(aside, self._place, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(aside)
