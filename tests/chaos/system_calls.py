# SPDX-License-Identifier: Apache-2.0
"""The system calls at which a process can be killed: everything that changes a file system, and what sends.

A table per machine, because numbers differ. A call that a machine does not have (``rename`` on 64-bit ARM) is left out.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Act(Enum):
    """What a call does to what would survive a crash."""

    WRITE = "write"
    SYNC = "sync"
    RENAME = "rename"
    NAME = "name"
    """Makes or removes a name: link, unlink, mkdir, an ``open`` that creates."""
    RESIZE = "resize"
    SEND = "send"
    """Hands bytes to the network: nothing durable, but what the other device may act on."""


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One of them."""

    name: str
    act: Act
    x86_64: int | None
    aarch64: int | None
    descriptor: int | None = None
    """Which argument is the file descriptor it works on."""
    path: int | None = None
    """Which argument points to the name that appears or goes."""
    creates: int | None = None
    """Which argument holds the flags of an ``open``: only one that creates counts."""


CALLS: Final = (
    SystemCall("write", Act.WRITE, 1, 64, descriptor=0),
    SystemCall("pwrite64", Act.WRITE, 18, 68, descriptor=0),
    SystemCall("writev", Act.WRITE, 20, 66, descriptor=0),
    SystemCall("pwritev", Act.WRITE, 296, 70, descriptor=0),
    SystemCall("pwritev2", Act.WRITE, 328, 287, descriptor=0),
    SystemCall("copy_file_range", Act.WRITE, 326, 285, descriptor=2),
    SystemCall("sendfile", Act.WRITE, 40, 71, descriptor=0),
    SystemCall("fallocate", Act.RESIZE, 285, 47, descriptor=0),
    SystemCall("ftruncate", Act.RESIZE, 77, 46, descriptor=0),
    SystemCall("fsync", Act.SYNC, 74, 82, descriptor=0),
    SystemCall("fdatasync", Act.SYNC, 75, 83, descriptor=0),
    SystemCall("sync_file_range", Act.SYNC, 277, 84, descriptor=0),
    SystemCall("syncfs", Act.SYNC, 306, 267, descriptor=0),
    SystemCall("sync", Act.SYNC, 162, 81),
    SystemCall("msync", Act.SYNC, 26, 227),
    SystemCall("rename", Act.RENAME, 82, None, path=1),
    SystemCall("renameat", Act.RENAME, 264, 38, path=3),
    SystemCall("renameat2", Act.RENAME, 316, 276, path=3),
    SystemCall("open", Act.NAME, 2, None, path=0, creates=1),
    SystemCall("openat", Act.NAME, 257, 56, path=1, creates=2),
    SystemCall("link", Act.NAME, 86, None, path=1),
    SystemCall("linkat", Act.NAME, 265, 37, path=3),
    SystemCall("symlink", Act.NAME, 88, None, path=1),
    SystemCall("symlinkat", Act.NAME, 266, 36, path=2),
    SystemCall("unlink", Act.NAME, 87, None, path=0),
    SystemCall("unlinkat", Act.NAME, 263, 35, path=1),
    SystemCall("mkdir", Act.NAME, 83, None, path=0),
    SystemCall("mkdirat", Act.NAME, 258, 34, path=1),
    SystemCall("rmdir", Act.NAME, 84, None, path=0),
    SystemCall("chmod", Act.NAME, 90, None, path=0),
    SystemCall("fchmod", Act.NAME, 91, 52, descriptor=0),
    SystemCall("fchmodat", Act.NAME, 268, 53, path=1),
    SystemCall("utimensat", Act.NAME, 280, 88, path=1),
    SystemCall("sendto", Act.SEND, 44, 206, descriptor=0),
    SystemCall("sendmsg", Act.SEND, 46, 211, descriptor=0),
    SystemCall("sendmmsg", Act.SEND, 307, 269, descriptor=0),
)
"""``openat2`` passes its flags in memory, which a filter cannot read; the product creates no file with it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What differs between processors."""

    audit: int
    """The AUDIT_ARCH value that a filter compares with."""
    seccomp: int
    """Number of ``seccomp`` itself."""
    numbers: dict[int, SystemCall]


def this_machine() -> Machine:
    """The table for this processor.

    Raises:
        OSError: Not Linux on one of the two that are known.
    """
    name = platform.machine()
    if os.uname().sysname != "Linux" or name not in ("x86_64", "aarch64"):
        raise OSError(f"killing at system calls needs Linux on x86_64 or aarch64, not {os.uname().sysname} on {name}")
    numbers = {number: call for call in CALLS if (number := getattr(call, name)) is not None}
    if name == "x86_64":
        return Machine(0xC000003E, 317, numbers)
    return Machine(0xC00000B7, 277, numbers)
