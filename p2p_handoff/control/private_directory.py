# SPDX-License-Identifier: Apache-2.0
"""The directory around the control socket: nobody but this user may enter it. Layer: I/O ring.

The client imports this at start-up, so it imports no pathlib: a path comes in as an object.
Specification: docs/specs/control.md §3.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from p2p_handoff.errors import TrustError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def prepare_directory(path: Path) -> None:
    """Make the socket's directory if it is absent, and make sure that it is private.

    Raises:
        TrustError: It is a link, belongs to somebody else, or others may enter it.
        UsageError: It cannot be made.
    """
    directory = path.parent
    try:
        directory.mkdir(mode=stat.S_IRWXU, parents=False, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the control socket's directory {directory} cannot be made: {error.strerror}") from None
    check_directory(path)


def check_directory(path: Path) -> None:
    """Make sure that nobody else can replace the socket, before it is listened on or dialled.

    Raises:
        TrustError: Its directory is a link, belongs to somebody else, or others may enter it.
    """
    directory = path.parent
    if not is_private(directory):
        raise TrustError(
            f"the agent's directory {directory} must be this user's and closed to all others",
            advice=f"run: chmod 700 {directory}",
        )


def is_private(directory: Path) -> bool:
    """Whether it is a directory of this user that nobody else may enter; a link to one is not."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & _OTHERS
