# SPDX-License-Identifier: Apache-2.0
"""File operations relative to held directory descriptors that never follow a link. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §6. Whoever swaps a directory for a link while we work gets an error, never
a write outside. Files are created exclusively; modes never come from a peer, except for the execute bit.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from p2p_handoff.adapters.platform_files import open_beneath
from p2p_handoff.errors import HandoffError, NoSpaceError, NotFoundError, PathError, StorageError

Components = tuple[bytes, ...]
"""A path relative to a held directory, one item per component; checked by session.paths where a peer named it."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_PRIVATE_FILE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNREPRESENTABLE: Final = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP, errno.ENOTDIR, errno.EXDEV})


class HeldDirectory:
    """Owns the descriptor of a directory: closed on request, at the latest with the object.

    Args:
        descriptor: An open directory.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)


@contextmanager
def typed_errors(doing: str, *, needed: int = 0) -> Iterator[None]:
    """Turn an OSError into the project's own error.

    Args:
        doing: What is being done, as a clause that follows "cannot": ``write /home/a/notes.md``.
        needed: Bytes that the disk must have for it, where that is known.

    Raises:
        StorageError: The disk is full, read-only or failing, or permissions forbid it.
        PathError: A name cannot be represented here, or a link stands where a directory must be.
    """
    try:
        yield
    except OSError as error:
        raise typed(error, doing, needed=needed) from error


def typed(error: OSError, doing: str, *, needed: int = 0) -> HandoffError:
    """The project's error for an OSError; see ``typed_errors``."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        amount = f": {needed:,} bytes are needed" if needed else ""
        return NoSpaceError(f"cannot {doing}: the disk is full{amount}", advice="make room and try again")
    if error.errno == errno.EFBIG:  # a file system or a limit of the user that takes no larger file
        return NoSpaceError(f"cannot {doing}: {reason}", advice="choose another disk, or raise the limit")
    if error.errno in _UNREPRESENTABLE:
        return PathError(f"cannot {doing}: {reason}")
    return StorageError(f"cannot {doing}: {reason}")


def open_root(path: Path) -> int:
    """Open the directory that later operations stay beneath; the caller closes it.

    Raises:
        OSError: It is not there, not a directory, or itself a link.
    """
    return os.open(path, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_directory(root: int, path: Components) -> int:
    """Open a directory below ``root``; the caller closes it.

    Raises:
        OSError: It is missing, not a directory, or a link stands in the way.
    """
    return open_beneath(root, b"/".join(path), _DIRECTORY) if path else os.dup(root)


@contextmanager
def directory(root: int, path: Components) -> Iterator[int]:
    """The descriptor of a directory below ``root`` for the length of a ``with``."""
    opened = open_directory(root, path)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def file(root: int, path: Components) -> Iterator[int]:
    """The descriptor of a regular file below ``root``, for reading; never blocks on a fifo or a device.

    Raises:
        OSError: It is missing or a link stands in the way.
        PathError: It is not a regular file.
    """
    opened = open_beneath(root, b"/".join(path), os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise PathError(f"{os.fsdecode(b'/'.join(path))!r} is not a regular file")
        yield opened
    finally:
        os.close(opened)


def status(root: int, path: Components) -> os.stat_result | None:
    """What stands at a path, links not followed; None when nothing does or a parent is no directory."""
    try:
        with directory(root, path[:-1]) as parent:
            return os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        if is_absence(error):
            return None
        raise


def is_absence(error: OSError) -> bool:
    """True when an error says that there is nothing at a path, or no directory on the way to it."""
    return error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def create_file(parent: int, name: bytes) -> int:
    """Create a private file (0600) that must not exist, open for reading and writing; the caller closes it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, _PRIVATE_FILE, dir_fd=parent)


def open_for_writing(parent: int, name: bytes) -> int:
    """Open an existing file of ours for reading and writing at any offset; the caller closes it."""
    return os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write every byte at an offset, however the kernel splits it."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def write_new(parent: int, name: bytes, data: bytes) -> None:
    """Create a private file with these bytes; not synced. A file cut short by a failure is removed."""
    created = create_file(parent, name)
    try:
        write_all(created, data, 0)
    except OSError:
        os.unlink(name, dir_fd=parent)
        raise
    finally:
        os.close(created)


def write_atomically(parent: int, name: bytes, data: bytes, *, sync: bool = True) -> None:
    """Replace a file of ours by one rename, so that a reader sees the old bytes or the new ones.

    Args:
        parent: Descriptor of its directory.
        name: Its name there.
        data: The new bytes.
        sync: Also survive a power cut: file and directory are on disk when this returns.
    """
    fresh = name + b".new"
    if status(parent, (fresh,)) is not None:
        os.unlink(fresh, dir_fd=parent)  # left by a crash
    created = create_file(parent, fresh)
    try:
        write_all(created, data, 0)
        if sync:
            os.fsync(created)
    finally:
        os.close(created)
    os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)
    if sync:
        os.fsync(parent)


def read_whole(parent: int, name: bytes, limit: int) -> bytes:
    """All bytes of a regular file.

    Args:
        parent: Descriptor of its directory.
        name: Its name there.
        limit: Most bytes it may have.

    Raises:
        NotFoundError: It is not there.
        StorageError: It is larger than ``limit`` or cannot be read.
    """
    try:
        with file(parent, (name,)) as opened:
            size = os.fstat(opened).st_size
            if size > limit:
                raise StorageError(f"{os.fsdecode(name)!r} has {size:,} bytes, more than the {limit:,} expected")
            return read_range(opened, 0, size)
    except FileNotFoundError as error:
        raise NotFoundError(f"{os.fsdecode(name)!r} is not there") from error
    except OSError as error:
        raise typed(error, f"read {os.fsdecode(name)!r}") from error


def read_range(descriptor: int, offset: int, length: int) -> bytes:
    """Bytes from an offset; fewer than asked for only where the file ends."""
    data = os.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    have = len(data)
    while have < length and (more := os.pread(descriptor, length - have, offset + have)):
        parts.append(more)
        have += len(more)
    return b"".join(parts)


def make_private_directory(parent: int, name: bytes) -> int:
    """Create (or reopen) a directory of ours, 0700, and return its descriptor.

    Raises:
        PathError: Something else stands there, or it belongs to another user.
    """
    with suppress(FileExistsError):  # ours from before, checked below
        os.mkdir(name, _PRIVATE_DIRECTORY, dir_fd=parent)
    opened = open_directory(parent, (name,))
    if os.fstat(opened).st_uid != os.geteuid():
        os.close(opened)
        raise PathError(f"{os.fsdecode(name)!r} belongs to another user")
    os.fchmod(opened, _PRIVATE_DIRECTORY)
    return opened


def remove_tree(parent: int, name: bytes) -> None:
    """Remove a file or a whole directory; links inside are removed, never followed. Nothing there: nothing done."""
    found = status(parent, (name,))
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        shutil.rmtree(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
