# SPDX-License-Identifier: Apache-2.0
"""Reads one regular file into a record: its chunks and its content. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §2. The status before and after the reading must be equal, else the file is
read again, so that no picture of a file is torn. A file that only grows (a log) is taken up to the size it had
when the reading began.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.platform_files import has_writer
from p2p_handoff.adapters.stat_cache import FileRecord
from p2p_handoff.content.chunking import cut
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import EMPTY, Content, Entry, EntryKind, build_content
from p2p_handoff.errors import ContentGoneError
from p2p_handoff.limits import CHUNK_MAX, CHUNK_MIN, MIB

WINDOW: Final = 8 * MIB
"""Bytes of a file that are in memory at once."""
SMALL: Final = CHUNK_MIN
"""Files up to this size are one chunk by definition."""
_PAUSES: Final = (0.005, 0.01, 0.02, 0.04, 0.08)
"""Seconds between attempts at a file that changes while it is read."""


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A record and the index objects that its content needs."""

    record: FileRecord
    indexes: dict[Digest, bytes] = field(default_factory=dict)
    written: bool = False
    """Somebody had the file open for writing: a mapping may change it without another stamp."""


def hash_file(opened: int, name: bytes) -> HashedFile:
    """Hash an open file, however it is being written to.

    Args:
        opened: Descriptor for reading; stays open.
        name: Its last path component, for the entry.

    Raises:
        ContentGoneError: It kept being rewritten during every attempt.
        OSError: It cannot be read.
    """
    for pause in (*_PAUSES, None):
        before = os.fstat(opened)
        hashed = _hash_once(opened, name, before)
        after = os.fstat(opened)
        if hashed is not None and (_same(before, after) or (pause is None and after.st_size > before.st_size)):
            return hashed
        if pause is not None:
            time.sleep(pause)
    raise ContentGoneError(f"{os.fsdecode(name)!r} keeps changing while it is read")


def hash_small(opened: int, name: bytes, before: os.stat_result) -> HashedFile | None:
    """Hash a file of at most ``SMALL`` bytes in one read; None when it changed meanwhile.

    Args:
        opened: Descriptor for reading; stays open.
        name: As for ``hash_file``.
        before: Its status before it was opened.
    """
    written = has_writer(opened)  # Before the reading: what a mapping changes after it must not be missed.
    data = os.read(opened, SMALL + 1)
    if len(data) != before.st_size or not _same(before, os.fstat(opened)):
        return None
    return HashedFile(_record(name, before, one_chunk(data), ()), written=written)


def one_chunk(data: bytes) -> Content:
    """The content of at most ``SMALL`` bytes."""
    return Content(digest(data), len(data), 0, len(data)) if data else EMPTY


def chunks_of_file(opened: int, size: int) -> Iterator[tuple[Digest, int]]:
    """(digest, bytes) of the chunks in the first ``size`` bytes, with at most a window in memory.

    Where a cut falls depends on nothing before the previous cut and on at most CHUNK_MAX bytes behind it: chunks
    that begin earlier than CHUNK_MAX before the end of the window are those of the whole file.

    Raises:
        EOFError: The file ends before ``size``.
    """
    offset = 0
    while offset < size:
        window = memoryview(beneath.read_range(opened, offset, min(WINDOW, size - offset)))
        if not window:
            raise EOFError
        last = offset + len(window) == size
        for start, length in cut(window):
            if not last and start > len(window) - CHUNK_MAX:
                break
            yield digest(window[start : start + length]), length
            offset += length


def _hash_once(opened: int, name: bytes, before: os.stat_result) -> HashedFile | None:
    written = has_writer(opened)
    try:
        chunks = tuple(chunks_of_file(opened, before.st_size))
    except EOFError:
        return None
    content, indexes = build_content(chunks)
    record = _record(name, before, content, chunks if content.level else ())
    return HashedFile(record, indexes, written)


def _record(
    name: bytes, status: os.stat_result, content: Content, chunks: tuple[tuple[Digest, int], ...]
) -> FileRecord:
    executable = bool(status.st_mode & stat.S_IXUSR)
    entry = Entry(name, EntryKind.FILE, executable, status.st_mtime_ns, content)
    return FileRecord(entry, status.st_ctime_ns, status.st_ino, chunks)


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_mtime_ns, before.st_ctime_ns, before.st_size) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )
