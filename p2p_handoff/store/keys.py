# SPDX-License-Identifier: Apache-2.0
"""The files about a device's secret keys. Layer: I/O ring. Specification: docs/specs/store.md §7.

Each is written once, completely or not at all, readable by its owner alone, and never through a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from p2p_handoff.errors import StorageError, TrustError
from p2p_handoff.store.home import check_private

MAX_KEY_FILE: Final = 64 * 1024
"""Bytes that are read of a key file: an identity has some hundred."""


def load(path: Path) -> bytes | None:
    """What a key file holds; None where there is none.

    Raises:
        TrustError: The file is a link, another user's, readable by others, or not a file with keys.
        StorageError: It cannot be read.
    """
    with _translated(path):
        return _read(path)


def create(path: Path, content: bytes) -> None:
    """Make a key file, durably.

    Raises:
        StorageError: There is one already, or it cannot be written.
    """
    with _translated(path):
        _create(path, content)


def remove(path: Path) -> None:
    """Remove a key file, durably, if there is one.

    Raises:
        StorageError: It cannot be removed.
    """
    with _translated(path), suppress(FileNotFoundError):
        path.unlink()
        _sync_directory(path.parent)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"the key file {path} cannot be used: {error.strerror}") from error


def _read(path: Path) -> bytes | None:
    if path.is_symlink():
        raise TrustError(f"the key file {path} is a symbolic link", advice="put the file itself there")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        check_private(path, os.fstat(descriptor), mode="600")
        content = file.read(MAX_KEY_FILE + 1)
    if not 0 < len(content) <= MAX_KEY_FILE:
        raise TrustError(f"the key file {path} is damaged", advice="restore it from a backup")
    return content


def _create(path: Path, content: bytes) -> None:
    """Write beside the place, then link into it: a name appears with all of its bytes, and never replaces one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _publish(draft, path)
    finally:
        draft.unlink()


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path, follow_symlinks=False)
    except FileExistsError:
        raise StorageError(f"another program wrote {path} at the same moment", advice="start again") from None
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
