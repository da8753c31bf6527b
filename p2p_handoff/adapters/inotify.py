# SPDX-License-Identifier: Apache-2.0
"""The kernel's own words about changed directories: inotify(7). Layer: I/O ring, adapters. Linux only.

Specification: docs/specs/adapters.md §3. Asked directly, because what a library gathers from it lacks the one event
on which everything depends here: that the queue ran over and events were lost.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_HEADER: Final = struct.Struct("=iIII")  # watch, mask, cookie, bytes of the name behind it
_READ_BYTES: Final = 1 << 18
"""Bytes read at once: some 5,000 events."""


class Seen(IntFlag):
    """Bits of an event's mask, and of what is asked for."""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    """Also told when the last writable mapping of a file goes, whose writes are not told themselves."""
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    OVERFLOW = 0x4000
    IGNORED = 0x8000
    """A watch was taken away."""
    ONLY_DIRECTORY = 0x1000000
    DO_NOT_FOLLOW = 0x2000000
    DIRECTORY = 0x40000000


EVERY_CHANGE: Final = (
    Seen.MODIFY | Seen.ATTRIB | Seen.CLOSE_WRITE | Seen.MOVED_FROM | Seen.MOVED_TO | Seen.CREATE | Seen.DELETE
    | Seen.DELETE_SELF | Seen.MOVE_SELF | Seen.ONLY_DIRECTORY | Seen.DO_NOT_FOLLOW
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    watch: int
    mask: int
    name: bytes
    """In the watched directory; empty for the directory itself."""


def available() -> bool:
    """Whether this platform has it."""
    return sys.platform.startswith("linux")


class Inotify:
    """One queue of events, in the order in which they happened.

    Raises:
        OSError: The kernel or a limit of the user refuses it.
    """

    def __init__(self) -> None:
        self.descriptor = _checked(_LIBC.inotify_init1(ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK)))

    def add(self, directory: bytes, mask: int = EVERY_CHANGE) -> int:
        """Watch a directory; returns the number of the watch, the same one for the same directory.

        Raises:
            OSError: It is not there, not a directory, may not be read, or a limit of the user is reached.
        """
        return _checked(_LIBC.inotify_add_watch(self.descriptor, ctypes.c_char_p(directory), ctypes.c_uint32(mask)))

    def remove(self, watch: int) -> None:
        """Watch no longer; ``Seen.IGNORED`` follows, behind everything that happened before."""
        _checked(_LIBC.inotify_rm_watch(self.descriptor, ctypes.c_int(watch)))

    def read(self) -> list[Event]:
        """What happened since the last call; never waits."""
        try:
            return list(_events(os.read(self.descriptor, _READ_BYTES)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """End every watch."""
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _events(data: bytes) -> Iterator[Event]:
    offset = 0
    while offset < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        yield Event(watch, mask, data[offset : offset + length].rstrip(b"\0"))
        offset += length
