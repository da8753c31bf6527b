# SPDX-License-Identifier: Apache-2.0
"""A home: where an agent keeps everything, and the lock that lets one agent in. Layer: I/O ring.

Specification: docs/specs/store.md §6. ``HANDOFF_HOME`` and ``--home`` are read by the command line; this module
only knows the place that applies when neither is given.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from p2p_handoff.errors import StorageError, TrustError, UsageError
from p2p_handoff.ids import PartId, SessionId


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of a home."""

    path: Path
    """Absolute."""

    @property
    def identity(self) -> Path:
        """The device's secret keys, unless they are in the keyring."""
        return self.path / "identity"

    @property
    def keyring_entry(self) -> Path:
        """Names the entry of the keyring that has them then."""
        return self.path / "identity.keyring"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.path / "store.sqlite3"

    @property
    def searched(self) -> Path:
        """Remembers what was searched for secrets."""
        return self.path / "searched.sqlite3"

    @property
    def lock(self) -> Path:
        """Locked while an agent runs; names its process."""
        return self.path / "agent.lock"

    @property
    def settings(self) -> Path:
        """What the user configured."""
        return self.path / "config.toml"

    @property
    def log(self) -> Path:
        """What a background agent says."""
        return self.path / "agent.log"

    def shelf(self, session: SessionId, part: PartId) -> Path:
        """Where earlier states of one part are kept."""
        return self.generations / session / part

    @property
    def generations(self) -> Path:
        """Holds the earlier states of all sessions."""
        return self.path / "generations"

    @property
    def stagings(self) -> Path:
        """Says where handoffs under way have staged something."""
        return self.path / "stagings"

    def part_state(self, session: SessionId, part: PartId) -> Path:
        """Where an adapter keeps what it must remember of one part."""
        return self.path / "parts" / session / part


def prepare(path: Path) -> Home:
    """Make sure that a home exists and is private.

    Args:
        path: The directory; it is created with its parents where it is missing.

    Raises:
        TrustError: It is another user's, others may enter it, or it is a symbolic link.
        StorageError: It cannot be created.
    """
    path = path.expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise StorageError(f"the data directory {path} cannot be created: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise TrustError(f"the data directory {path} is a symbolic link", advice="name the directory itself")
    check_private(path, status, mode="700")
    return Home(path)


def check_private(path: Path, status: os.stat_result, *, mode: str) -> None:
    """Check that a file or directory is this user's and nobody else's.

    Args:
        path: For the error's words.
        status: Of the thing itself, taken where it cannot change any more.
        mode: What the advice tells the user to set, in octal.

    Raises:
        TrustError: It is not.
    """
    if status.st_uid != os.geteuid():
        raise TrustError(f"{path} belongs to another user (uid {status.st_uid})", advice="use a directory of your own")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise TrustError(f"other users may read {path}", advice=f"run: chmod {mode} {path}")


@contextmanager
def lock(home: Home) -> Iterator[None]:
    """Hold a home for one agent. The system drops the lock with the process, however that ends.

    Raises:
        UsageError: Another agent holds it.
        StorageError: The lock file cannot be opened.
    """
    try:
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(f"the lock {home.lock} cannot be opened: {error.strerror}") from error
    try:
        _take(descriptor)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise UsageError(f"an agent is already running on this home (pid {holder})") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
