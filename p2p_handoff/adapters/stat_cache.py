# SPDX-License-Identifier: Apache-2.0
"""Remembers which content a file had when its status looked the same. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §3. One compact file in the part's state directory: segments, of which later ones
say what changed since. A damaged segment counts as the end of the file: what it knew is hashed again. A file whose
status changed so shortly before it was hashed that another change could hide in the same tick is not remembered (git
calls it racy).
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from p2p_handoff.adapters import beneath
from p2p_handoff.content.digests import DIGEST_BYTES, Digest, digest
from p2p_handoff.content.objects import Content, Entry, EntryKind
from p2p_handoff.errors import HandoffError
from p2p_handoff.limits import GIB

CACHE_FILE: Final = b"stat-cache"
MAX_CACHE_FILE: Final = GIB
"""Bytes of a cache file that are read: some five million files."""
_MAGIC: Final = b"p2phSC02"
_HEADER: Final = struct.Struct("<8s32sQQQ")  # magic, digest of the rest, bytes of paths, of records, of chunks
_RECORD: Final = struct.Struct("<qqQQ?B32sII")  # mtime, ctime, inode, size, executable, level, ref, ref size, chunks
_CHUNK: Final = struct.Struct("<32sI")

_SECOND_NS: Final = 1_000_000_000
_TICK_NS: Final = 50_000_000
"""Kernels stamp files once per timer tick, at most 10 ms: five times that."""
_SLACK_NS: Final = 20_000_000
"""The clock may be set back by so much unnoticed: together with a tick it is less than what makes a file racy."""
_COARSE_NS: Final = 3 * _SECOND_NS
"""File systems that keep whole seconds (two on FAT)."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A regular file as it was hashed."""

    entry: Entry
    ctime_ns: int
    inode: int
    chunks: tuple[tuple[Digest, int], ...] = ()
    """(digest, bytes) of its chunks in order; empty where the content is one chunk or nothing."""

    @property
    def content(self) -> Content:
        """What the file contains."""
        assert self.entry.content is not None
        return self.entry.content

    def describes(self, status: os.stat_result) -> bool:
        """True when a file with this status still has the recorded content."""
        return (
            self.entry.mtime_ns == status.st_mtime_ns
            and self.ctime_ns == status.st_ctime_ns
            and self.inode == status.st_ino
            and self.content.size == status.st_size
        )


def is_racy(ctime_ns: int, now_ns: int) -> bool:
    """True when a change right after hashing could leave the status as it is.

    Args:
        ctime_ns: The file's change time, nanoseconds since 1970.
        now_ns: Wall clock when it was hashed, nanoseconds since 1970.
    """
    window = _TICK_NS if ctime_ns % _SECOND_NS else _COARSE_NS
    return now_ns < ctime_ns + window


def lasting(records: Mapping[bytes, FileRecord], now_ns: int) -> dict[bytes, FileRecord]:
    """The records that may be trusted as long as the status stays.

    Args:
        records: By path.
        now_ns: Wall clock before the first of them was hashed, nanoseconds since 1970: later changes are racy.
    """
    return {path: record for path, record in records.items() if not is_racy(record.ctime_ns, now_ns)}


@dataclass(frozen=True, slots=True)
class Moment:
    """When somebody looked."""

    wall_ns: int
    """What the clock on the wall said, nanoseconds since 1970: it can be set."""
    steady_ns: int
    """What a clock said that nobody sets, nanoseconds since whenever."""


def now() -> Moment:
    """This moment."""
    steady = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Moment(time.time_ns(), time.clock_gettime_ns(steady))


def trusted_still(records: dict[bytes, FileRecord], last: Moment, here: Moment) -> dict[bytes, FileRecord]:
    """What of the records may be trusted after the wall clock was set back: an edit may bear a time that was before.

    Args:
        records: By path; all of them were trusted at ``last``.
        last: When they were looked at last.
        here: Now.
    """
    passed = here.steady_ns - last.steady_ns
    if here.wall_ns - last.wall_ns >= passed - _SLACK_NS:
        return records
    return lasting(records, here.wall_ns - passed)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a cache file knows."""

    records: dict[bytes, FileRecord] = field(default_factory=dict)
    """By path relative to the part; also of files that are gone by now."""
    rows: int = 0
    """Records in the file, those that later ones replace included."""
    whole: bool = False
    """False when the file is missing or damaged: nothing may be appended then."""


def load(state: int) -> Loaded:
    """What is known; nothing where there is no usable cache file.

    Args:
        state: Descriptor of the part's state directory.
    """
    try:
        data = memoryview(beneath.read_whole(state, CACHE_FILE, MAX_CACHE_FILE))
    except HandoffError:
        return Loaded()
    records: dict[bytes, FileRecord] = {}
    rows = 0
    while data:
        try:
            found, length = _decode(data)
        except (struct.error, ValueError):
            return Loaded(records, rows)
        records.update(found)
        rows += len(found)
        data = data[length:]
    return Loaded(records, rows, whole=True)


def save(state: int, records: Mapping[bytes, FileRecord]) -> None:
    """Replace the cache file; not synced, because losing it costs nothing but time.

    Args:
        state: Descriptor of the part's state directory.
        records: By path relative to the part; none of them racy.
    """
    beneath.write_atomically(state, CACHE_FILE, _encode(records), sync=False)


def append(state: int, records: Mapping[bytes, FileRecord]) -> None:
    """Add a segment to a whole cache file.

    Args:
        state: Descriptor of the part's state directory.
        records: As for ``save``: those that are new.
    """
    opened = beneath.open_for_writing(state, CACHE_FILE)
    try:
        beneath.write_all(opened, _encode(records), os.fstat(opened).st_size)
    finally:
        os.close(opened)


def _encode(records: Mapping[bytes, FileRecord]) -> bytes:
    paths = b"\0".join(records)
    rows = b"".join(map(_row, records.values()))
    chunks = b"".join(_CHUNK.pack(*chunk) for record in records.values() for chunk in record.chunks)
    body = b"".join((paths, rows, chunks))
    return _HEADER.pack(_MAGIC, digest(body), len(paths), len(rows), len(chunks)) + body


def _row(record: FileRecord) -> bytes:
    entry, content = record.entry, record.content
    return _RECORD.pack(
        entry.mtime_ns,
        record.ctime_ns,
        record.inode,
        content.size,
        entry.executable,
        content.level,
        content.ref,
        content.ref_size,
        len(record.chunks),
    )


def _decode(data: memoryview) -> tuple[dict[bytes, FileRecord], int]:
    """The records of a segment, and its bytes.

    Raises:
        struct.error, ValueError: It is damaged or foreign.
    """
    magic, checksum, paths_length, rows_length, chunks_length = _HEADER.unpack_from(data)
    length = paths_length + rows_length + chunks_length
    body = data[_HEADER.size : _HEADER.size + length]
    if magic != _MAGIC or len(body) != length or digest(body) != checksum:
        raise ValueError
    paths = bytes(body[:paths_length]).split(b"\0") if paths_length else []
    rows = _RECORD.iter_unpack(body[paths_length : paths_length + rows_length])
    chunks = _CHUNK.iter_unpack(body[paths_length + rows_length :])
    records = {path: _record(path, row, chunks) for path, row in zip(paths, rows, strict=True)}
    return records, _HEADER.size + length


def _record(path: bytes, row: tuple[Any, ...], chunks: Iterator[tuple[Any, ...]]) -> FileRecord:
    mtime_ns, ctime_ns, inode, size, executable, level, ref, ref_size, count = row
    content = Content(Digest(ref), size, level, ref_size)
    entry = Entry(path.rpartition(b"/")[2], EntryKind.FILE, executable, mtime_ns, content)
    return FileRecord(entry, ctime_ns, inode, tuple((Digest(name), long) for name, long in islice(chunks, count)))


assert _CHUNK.size == DIGEST_BYTES + 4
