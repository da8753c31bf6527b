# SPDX-License-Identifier: Apache-2.0
"""Reads a conversation file: unchanged, grown or rewritten, and never a torn picture. Layer: I/O ring, adapters.

Specification: docs/specs/conversation.md §6. An equal, settled stat means unchanged. Else the known beginning is
hashed; if it stands, only what follows is read. In a large file that grew under the same inode a sample of the
beginning is compared instead: a freeze always hashes all of it, so no handoff rests on a sample.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from p2p_handoff.adapters import beneath
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import ContentGoneError, UsageError
from p2p_handoff.limits import MAX_CONVERSATION, MIB

_BLOCK: Final = MIB
_SAMPLE: Final = 4096
_SAMPLES: Final = 32
_ALWAYS_HASHED: Final = 8 * MIB
"""Bytes up to which hashing the beginning costs less than ten milliseconds and is never replaced by a sample."""
_SETTLED_NS: Final = 2_000_000_000
"""A file whose times are older than this when it is read cannot change again under an equal stat: the coarsest
clock of the file systems in use (FAT, two seconds)."""
_ATTEMPTS: Final = 5

Clock = Callable[[], int]
"""Nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What changes when a file does."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Fingerprint:
        """The fingerprint of a stat result."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was known of the file when it was last read."""

    size: int
    text: Digest
    fingerprint: Fingerprint | None = None
    """None where an equal stat would prove nothing."""
    hasher: blake3 | None = None
    """The hash of the text so far, ready to go on; None after a restart."""
    samples: tuple[tuple[int, Digest], ...] = ()
    """(offset, digest of the bytes there)"""
    inode: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look at the file found. Neither ``grown`` nor ``rewritten``: nothing changed."""

    sighting: Sighting
    mtime_ns: int
    grown: bytes = b""
    """Bytes that follow the known ones."""
    rewritten: bytes | None = None
    """The whole file, where the known bytes no longer stand at its beginning."""


def look(path: Path, known: Sighting | None, *, thorough: bool, clock: Clock = time.time_ns) -> Reading:
    """Read what changed.

    Args:
        path: The file.
        known: What was known of it, or None.
        thorough: Compare every known byte, whatever the size.
        clock: Tells the time, in nanoseconds since 1970.

    Raises:
        ContentGoneError: It is gone, or changes faster than it can be read.
        UsageError: It is larger than MAX_CONVERSATION.
        PathError: It is no regular file, or a link.
        StorageError: It cannot be read.
    """
    try:
        parent = beneath.open_root(path.parent.resolve())
    except FileNotFoundError as failure:
        raise _gone(path) from failure
    except OSError as failure:
        raise beneath.typed(failure, f"open {path.parent}") from failure
    try:
        return _look_in(parent, path, known, thorough=thorough, clock=clock)
    except FileNotFoundError as failure:
        raise _gone(path) from failure
    except OSError as failure:
        raise beneath.typed(failure, f"read {path}") from failure
    finally:
        os.close(parent)


def _gone(path: Path) -> ContentGoneError:
    return ContentGoneError(f"the conversation {path} is gone", advice="put it back, or stop the session")


def _look_in(parent: int, path: Path, known: Sighting | None, *, thorough: bool, clock: Clock) -> Reading:
    name = (os.fsencode(path.name),)
    for attempt in range(_ATTEMPTS):
        with beneath.file(parent, name) as opened:
            before = os.fstat(opened)
            if known is not None and known.fingerprint == Fingerprint.of(before):
                return Reading(known, before.st_mtime_ns)
            if before.st_size > MAX_CONVERSATION:
                raise UsageError(f"{path} has {before.st_size:,} bytes, more than the {MAX_CONVERSATION:,} supported")
            reading = _read(opened, before, known, thorough=thorough, now=clock())
            after = os.fstat(opened)
            if Fingerprint.of(after) == Fingerprint.of(before) and reading is not None:
                return reading
            if attempt == _ATTEMPTS - 1 and after.st_size > before.st_size and reading is not None:
                return reading  # still being appended to: what was read is how it was a moment ago
    raise ContentGoneError(f"{path} changes faster than it can be read", advice="try again when it rests")


def _read(opened: int, status: os.stat_result, known: Sighting | None, *, thorough: bool, now: int) -> Reading | None:
    """One reading; None where the file is shorter than its stat said."""
    hasher = _standing(opened, status, known, thorough=thorough)
    start = known.size if known is not None and hasher is not None else 0
    data = beneath.read_range(opened, start, status.st_size - start)
    if len(data) != status.st_size - start:
        return None
    whole = (hasher or blake3()).update(data)
    sighting = Sighting(
        size=status.st_size,
        text=Digest(whole.digest()),
        fingerprint=Fingerprint.of(status) if _settled(status, now) else None,
        hasher=whole,
        samples=_samples(opened, status.st_size),
        inode=status.st_ino,
    )
    if hasher is None:
        return Reading(sighting, status.st_mtime_ns, rewritten=data)
    return Reading(sighting, status.st_mtime_ns, grown=data)


def _settled(status: os.stat_result, now: int) -> bool:
    return max(status.st_mtime_ns, status.st_ctime_ns) + _SETTLED_NS < now


def _standing(opened: int, status: os.stat_result, known: Sighting | None, *, thorough: bool) -> blake3 | None:
    """The hash of the known bytes where they still stand at the file's beginning; None where they do not."""
    if known is None or status.st_size < known.size:
        return None
    sampled = known.size > _ALWAYS_HASHED and not thorough and known.inode == status.st_ino and known.hasher
    if sampled and status.st_size > known.size:
        same = all(
            digest(os.pread(opened, _SAMPLE, offset)[: known.size - offset]) == name for offset, name in known.samples
        )
        return sampled.copy() if same else None
    hasher = blake3()
    for block in _blocks(opened, known.size):
        hasher.update(block)
    return hasher if hasher.digest() == known.text else None


def _blocks(opened: int, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _BLOCK):
        yield os.pread(opened, min(_BLOCK, size - offset), offset)


def _samples(opened: int, size: int) -> tuple[tuple[int, Digest], ...]:
    """Evenly spread, the last one at the end."""
    if size <= _ALWAYS_HASHED:
        return ()
    step = (size - _SAMPLE) // (_SAMPLES - 1)
    offsets = [*(number * step for number in range(_SAMPLES - 1)), size - _SAMPLE]
    return tuple((offset, digest(os.pread(opened, _SAMPLE, offset))) for offset in offsets)
