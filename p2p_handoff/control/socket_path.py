# SPDX-License-Identifier: Apache-2.0
"""Where the control socket of a home lies: a short path in a directory that only this user can enter.

Layer: I/O ring. The address of a Unix socket holds 108 bytes on Linux and 104 on macOS, homes can be deeper than
that. Specification: docs/specs/control.md §3.
"""

from __future__ import annotations

import os
import sys
from binascii import crc32
from pathlib import Path
from typing import Final

from p2p_handoff.control.private_directory import is_private
from p2p_handoff.errors import UsageError

MAX_SOCKET_PATH: Final = 103 if sys.platform == "darwin" else 107
"""Bytes of ``sun_path`` without its final NUL."""
_DIRECTORY: Final = "p2p-handoff"


def socket_path(home: Path) -> Path:
    """The control socket's path of a home; the same for every process of this user. Touches nothing.

    Raises:
        UsageError: Every candidate is too long.
    """
    home = home.resolve()
    name = _socket_name(os.fsencode(home))
    # tempfile.gettempdir() would be asked, but importing it takes longer than all else that this does.
    temporary = Path(os.environ.get("TMPDIR") or "/tmp").resolve()  # noqa: S108 - checked to be this user's alone
    candidates = [home / "agent.sock", temporary / f"{_DIRECTORY}-{os.geteuid()}" / name]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and is_private(Path(runtime)):
        candidates.insert(0, Path(runtime) / _DIRECTORY / name)
    for candidate in candidates:
        if len(os.fsencode(candidate)) <= MAX_SOCKET_PATH:
            return candidate
    raise UsageError(
        f"no path for the control socket is short enough; {candidates[-1]} is the shortest",
        advice="set XDG_RUNTIME_DIR or TMPDIR to a shorter directory of your own",
    )


def _socket_name(home: bytes) -> str:
    """A short name for a home: 64 bits keep a user's few homes apart; nobody else writes in this directory."""
    return f"{crc32(home):08x}{crc32(home[::-1]):08x}.sock"
