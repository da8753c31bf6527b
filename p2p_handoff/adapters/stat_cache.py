# SPDX-License-Identifier: Apache-2.0
"""Remembers which content a file had when its status looked the same. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §3. One compact file in the part's state directory, replaced atomically. A
damaged or foreign file counts as empty: everything is hashed again. A file whose status changed so shortly
before it was hashed that another change could hide in the same tick is not remembered (git calls it racy).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.content.digests import DIGEST_BYTES, Digest, digest
from p2p_handoff.content.objects import Content, Entry, EntryKind
from p2p_handoff.errors import HandoffError
from p2p_handoff.limits import GIB

CACHE_FILE: Final = b"stat-cache"
MAX_CACHE_FILE: Final = GIB
"""Bytes of a cache file that are read: some five million files."""
_MAGIC: Final = b"p2phSC01"
_HEADER: Final = struct.Struct("<8s32sQQ")  # magic, digest of the rest, bytes of paths, bytes of records
_RECORD: Final = struct.Struct("<qqQQ?B32sII")  # mtime, ctime, inode, size, executable, level, ref, ref size, chunks
_CHUNK: Final = struct.Struct("<32sI")

_SECOND_NS: Final = 1_000_000_000
_TICK_NS: Final = 50_000_000
"""Kernels stamp files once per timer tick, at most 10 ms: five times that."""
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


def load(state: int) -> dict[bytes, FileRecord]:
    """The records by path relative to the part; empty where there is no usable cache file.

    Args:
        state: Descriptor of the part's state directory.
    """
    try:
        data = beneath.read_whole(state, CACHE_FILE, MAX_CACHE_FILE)
        return dict(_decode(memoryview(data)))
    except (HandoffError, struct.error, ValueError):
        return {}


def save(state: int, records: Mapping[bytes, FileRecord], now_ns: int) -> None:
    """Replace the cache file; not synced, because losing it costs nothing but time.

    Args:
        state: Descriptor of the part's state directory.
        records: By path relative to the part.
        now_ns: Wall clock before the first of them was hashed, nanoseconds since 1970: later changes are racy.
    """
    kept = {path: record for path, record in records.items() if not is_racy(record.ctime_ns, now_ns)}
    beneath.write_atomically(state, CACHE_FILE, _encode(kept), sync=False)


def _encode(records: Mapping[bytes, FileRecord]) -> bytes:
    paths = b"\0".join(records)
    rows = b"".join(map(_row, records.values()))
    chunks = b"".join(_CHUNK.pack(*chunk) for record in records.values() for chunk in record.chunks)
    body = b"".join((paths, rows, chunks))
    return _HEADER.pack(_MAGIC, digest(body), len(paths), len(rows)) + body


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


def _decode(data: memoryview) -> Iterator[tuple[bytes, FileRecord]]:
    magic, checksum, paths_length, rows_length = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if magic != _MAGIC or digest(body) != checksum or not paths_length:
        return
    paths = bytes(body[:paths_length]).split(b"\0")
    rows = _RECORD.iter_unpack(body[paths_length : paths_length + rows_length])
    chunks = _CHUNK.iter_unpack(body[paths_length + rows_length :])
    for path, row in zip(paths, rows, strict=True):
        mtime_ns, ctime_ns, inode, size, executable, level, ref, ref_size, count = row
        entry = Entry(
            path.rpartition(b"/")[2],
            EntryKind.FILE,
            executable,
            mtime_ns,
            Content(Digest(ref), size, level, ref_size),
        )
        yield path, FileRecord(entry, ctime_ns, inode, tuple(next(chunks) for _ in range(count)))


assert _CHUNK.size == DIGEST_BYTES + 4
