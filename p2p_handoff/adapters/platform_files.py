# SPDX-License-Identifier: Apache-2.0
"""What differs by platform about files: atomic exchange, exclusive rename, cloning, writers, bulk sync.

Layer: I/O ring, adapters. Specification: docs/specs/adapters.md §6. Linux offers renameat2(2), openat2(2), leases
and syncfs(2), macOS renameatx_np(2). Where a kernel or a file system has none of them, a documented dance of plain
calls takes their place. Every name is one path component relative to a held directory descriptor.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import stat
import sys
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM})

_NOREPLACE: Final = 4 if sys.platform == "darwin" else 1  # RENAME_EXCL | RENAME_NOREPLACE
_EXCHANGE: Final = 2  # RENAME_SWAP | RENAME_EXCHANGE
_RENAME_SYMBOL: Final = "renameatx_np" if sys.platform == "darwin" else "renameat2"

_OPENAT2: Final = 437  # one number on every Linux architecture but alpha
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08

_F_SETSIG: Final = 10  # one number on every Linux architecture
_FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): btrfs, XFS and others let two files share their blocks until one is written to."""

_TELLING: Final = frozenset({
    0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E, 0x794C7630, 0x01021994, 0x858458F6,
})  # fmt: skip
"""statfs(2): ext2 to 4, XFS, btrfs, F2FS, ZFS, bcachefs, overlayfs, tmpfs, ramfs: every change is this kernel's."""
_STATFS_BYTES: Final = 256
"""Room for ``struct statfs``, which is 120 bytes at most; its first word is the type."""

SWAP_SUFFIX: Final = b".swap"
"""Appended to the staged name while an exchange without kernel support is under way."""


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _raise_errno(name: bytes) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), os.fsdecode(name))


def _flagged_rename(source: int, old: bytes, target: int, new: bytes, flags: int) -> bool:
    """Rename with flags; False where the kernel or the file system does not know them."""
    call = getattr(_LIBC, _RENAME_SYMBOL, None)
    if call is None:
        return False
    if call(source, ctypes.c_char_p(old), target, ctypes.c_char_p(new), ctypes.c_uint(flags)) == 0:
        return True
    if ctypes.get_errno() in _UNSUPPORTED:
        return False
    _raise_errno(new)
    return False


def rename_exclusive(source: int, old: bytes, target: int, new: bytes) -> None:
    """Rename, but never over something.

    Args:
        source: Descriptor of the directory that holds ``old``.
        old: Name there.
        target: Descriptor of the directory that gets ``new``.
        new: Name there.

    Raises:
        FileExistsError: ``new`` exists.
        OSError: Any other failure.
    """
    if not _flagged_rename(source, old, target, new, _NOREPLACE):
        _rename_exclusive_by_link(source, old, target, new)


def _rename_exclusive_by_link(source: int, old: bytes, target: int, new: bytes) -> None:
    """The dance: link(2) refuses an existing name; what cannot be linked is checked first, then renamed."""
    if not stat.S_ISDIR(os.stat(old, dir_fd=source, follow_symlinks=False).st_mode):
        try:
            os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            pass  # no hard links on this file system: the check below is the best that it allows
        else:
            os.unlink(old, dir_fd=source)
            return
    if exists(target, new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(new))
    os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)


def exchange(staged: int, staged_name: bytes, target: int, name: bytes) -> None:
    """Swap two names of any kind, atomically where the platform can.

    Without kernel support three renames do it: the target moves to ``staged_name`` + ``.swap``, the staged one
    takes its place, the old one takes the staged name. ``settle_exchange`` finishes it after a crash.

    Args:
        staged: Descriptor of the directory that holds what comes in.
        staged_name: Name there; afterwards it names what came out.
        target: Descriptor of the directory it goes to.
        name: Name there; must exist.

    Raises:
        FileNotFoundError: One of the two is not there.
        FileExistsError: As for ``settle_exchange``.
        OSError: Any other failure.
    """
    if not _flagged_rename(staged, staged_name, target, name, _EXCHANGE):
        os.rename(name, staged_name + SWAP_SUFFIX, src_dir_fd=target, dst_dir_fd=staged)
        settle_exchange(staged, staged_name, target, name)


def settle_exchange(staged: int, staged_name: bytes, target: int, name: bytes) -> None:
    """Finish an exchange without kernel support that a crash interrupted; does nothing otherwise.

    Args:
        staged: As for ``exchange``.
        staged_name: As for ``exchange``.
        target: As for ``exchange``.
        name: As for ``exchange``.

    Raises:
        FileExistsError: Somebody made a new ``name`` in the gap: move it aside and call this again.
    """
    swap = staged_name + SWAP_SUFFIX
    if not exists(staged, swap):
        return
    if exists(staged, staged_name):
        rename_exclusive(staged, staged_name, target, name)
    os.rename(swap, staged_name, src_dir_fd=staged, dst_dir_fd=staged)


def exists(directory: int, name: bytes) -> bool:
    """True when a directory has that name, whatever it is; links are not followed."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def open_beneath(root: int, path: bytes, flags: int) -> int:
    """Open a path of several components below a directory; no link on the way is followed, nor the last one.

    Args:
        root: Descriptor of the directory to stay in.
        path: Components joined by ``/``; relative and not empty.
        flags: Flags of open(2); ``O_CLOEXEC`` and ``O_NOFOLLOW`` are added.

    Returns:
        A descriptor that the caller closes.

    Raises:
        OSError: ``ELOOP`` or ``ENOTDIR`` where a link stands in the way, ``EXDEV`` where the path leads out.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    if _HAS_OPENAT2:
        return _openat2(root, path, flags)
    return _open_by_component(root, path, flags)


def _openat2(root: int, path: bytes, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    while True:
        opened = _LIBC.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if opened >= 0:
            return int(opened)
        if ctypes.get_errno() not in {errno.EINTR, errno.EAGAIN}:  # EAGAIN: a rename raced the resolution
            _raise_errno(path)


def _open_by_component(root: int, path: bytes, flags: int) -> int:
    *parents, last = path.split(b"/")
    if b".." in {*parents, last} or b"" in {*parents, last}:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
    here = os.dup(root)
    try:
        for component in parents:
            deeper = os.open(component, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = deeper
        return os.open(last, flags, dir_fd=here)
    finally:
        os.close(here)


def _openat2_works() -> bool:
    """Kernels before 5.6 and some sandboxes refuse it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        os.close(_openat2(_AT_FDCWD, b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


_AT_FDCWD: Final = -100
_HAS_OPENAT2: Final = _openat2_works()


def has_writer(opened: int) -> bool:
    """True when some program has a file open for writing, or mapped so; False where nobody can tell.

    Linux grants a read lease exactly when no descriptor writes (fcntl(2), F_SETLEASE); elsewhere, for another user's
    file and on file systems without leases the answer is False.

    Args:
        opened: Descriptor of a regular file, for reading only.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        # The lease is given back at once. Should somebody open the file in between, the kernel tells by a signal:
        # by default one that ends the process, here one that is ignored by default.
        fcntl.fcntl(opened, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def sync_filesystem(descriptor: int) -> None:
    """Write everything of one file system to its disk, in one call where the platform has it.

    Args:
        descriptor: Any open file or directory on that file system.

    Raises:
        OSError: The disk failed.
    """
    call = getattr(_LIBC, "syncfs", None)
    if call is None:
        os.sync()
        os.fsync(descriptor)  # The former may only have begun.
    elif call(ctypes.c_int(descriptor)) != 0:
        _raise_errno(b"syncfs")


def tells_changes(directory: bytes) -> bool:
    """True where every change of a file is reported to who watches; not where another machine can make one.

    Args:
        directory: Path of a directory on the file system.
    """
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if not sys.platform.startswith("linux") or _LIBC.statfs(ctypes.c_char_p(directory), found) != 0:
        return False
    return ctypes.c_ulong.from_buffer(found).value in _TELLING


def clone(source: int, target: int) -> bool:
    """Make an empty file share all blocks of another one: costs no space until either is written to.

    Args:
        source: Descriptor of the file to clone, open for reading.
        target: Descriptor of an empty file on the same file system, open for writing.

    Returns:
        False where the platform or the file system cannot; nothing was written then.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True
