# SPDX-License-Identifier: Apache-2.0
"""File contents on their way in, on disk under the name of their digest. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §7. A content of one chunk is written at once; a longer one grows in a
``.part`` file, each chunk at its offset, and is renamed when none is missing. What lies there after a crash is
hashed again before it counts. No file data stays in memory.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.base import NOTHING_REUSED, Reused
from p2p_handoff.adapters.file_hash import chunks_of_file
from p2p_handoff.content.digests import DIGEST_BYTES, Digest, digest
from p2p_handoff.content.objects import Content, build_content
from p2p_handoff.errors import IntegrityError

CONTENTS: Final = b"contents"
_PART: Final = b".part"
Chunks = list[tuple[Digest, int, int]]
"""(digest, offset, length) in order."""
FetchLocally = Callable[[Digest], bytes | None]
"""A chunk that this device has elsewhere, checked; None when it has not."""


@dataclass(slots=True)
class _Part:
    """A long content that is not complete."""

    name: bytes
    missing: dict[Digest, list[tuple[int, int]]]
    """Where each missing chunk goes: (offset, length), more than once when it repeats."""


class _OpenPart:
    """The part that was written to last: its next chunk goes there without looking the file up again."""

    def __init__(self, directory: int, name: bytes) -> None:
        self.name = name
        self.descriptor = beneath.open_for_writing(directory, name)
        weakref.finalize(self, os.close, self.descriptor)


class StagedContents:
    """The contents that a staging directory has, and those it waits for.

    Args:
        directory: Descriptor of the contents directory.
        elsewhere: Writes a content of one chunk where it belongs already, given digest and bytes; false where it
            belongs nowhere yet.
    """

    def __init__(self, directory: int, elsewhere: Callable[[Digest, bytes], bool]) -> None:
        self.directory = directory
        self.reused = NOTHING_REUSED
        """What was found on this device, in all rounds."""
        self._elsewhere = elsewhere
        self._writing: _OpenPart | None = None
        self._complete: set[Digest] = set()
        self._parts: dict[Digest, _Part] = {}
        self._waiting: dict[Digest, list[_Part]] = {}
        self._small: dict[Digest, int] = {}
        for name in map(os.fsencode, os.listdir(directory)):
            if not name.endswith(_PART):
                self._readmit(name)

    @property
    def complete(self) -> bool:
        """True when nothing is missing."""
        return not self._waiting and not self._small

    def has(self, content: Content) -> bool:
        """True when a content is here as a whole."""
        return content.ref in self._complete or not content.size

    def missing(self) -> Iterator[tuple[Digest, int]]:
        """(digest, bytes) of each chunk that is waited for."""
        yield from self._small.items()
        for name, parts in self._waiting.items():
            yield name, parts[0].missing[name][0][1]

    def admit(self, name: Digest) -> None:
        """Count a content that was found, and hashed, here or elsewhere."""
        self._complete.add(name)

    def close(self) -> None:
        """Close what is open."""
        self._writing = None

    def forget_wants(self) -> None:
        """Wait for nothing; what is here stays."""
        self._small.clear()
        self._waiting.clear()

    def want_small(self, content: Content, fetch: FetchLocally) -> bool:
        """Wait for a content of one chunk, unless it is here or can be copied; True when it has to come."""
        if self.has(content) or content.ref in self._small:
            return False
        self._small[content.ref] = content.size
        local = fetch(content.ref)
        if local is not None:
            self.put(content.ref, local)
            self.reused += Reused(1, content.size)
        return local is None

    def want_large(self, content: Content, chunks: Chunks, fetch: FetchLocally) -> Iterator[tuple[Digest, int]]:
        """Wait for a content of several chunks; yields the chunks that have to come and were not waited for yet."""
        if self.has(content):
            return
        part = self._parts.get(content.ref) or self._open_part(content, chunks)
        for name, places in list(part.missing.items()):
            waited_for = name in self._waiting
            self._waiting.setdefault(name, []).append(part)
            local = None if waited_for else fetch(name)
            if local is not None:
                self.put(name, local)
                self.reused += Reused(1, sum(length for _, length in places))
            elif not waited_for:
                yield name, places[0][1]
        if not part.missing:
            self._finish(content.ref)

    def put(self, name: Digest, data: bytes) -> bool:
        """Write a chunk where it is waited for; False when it is not.

        Args:
            name: Its digest, which the caller has checked.
            data: Its bytes.

        Raises:
            IntegrityError: It has not the size that the tree declared.
            OSError: It cannot be written.
        """
        size = self._small.get(name)
        if size is not None:
            self._check_size(name, data, size)
            if not self._elsewhere(name, data):
                beneath.write_new(self.directory, _hex(name), data)
            self._complete.add(name)
            del self._small[name]
        parts = self._waiting.get(name, [])
        for part in parts:
            self._write(part, name, data)
        self._waiting.pop(name, None)
        return size is not None or bool(parts)

    def adopt(self, content: Content, parent: int, name: bytes) -> bool:
        """Take a content by a hard link to an immutable file of this device; False where that is impossible."""
        try:
            os.link(name, _hex(content.ref), src_dir_fd=parent, dst_dir_fd=self.directory, follow_symlinks=False)
        except OSError:
            return False
        self._readmit(_hex(content.ref))
        if self.has(content):
            self.reused += Reused(1, content.size)
        return self.has(content)

    def _write(self, part: _Part, name: Digest, data: bytes) -> None:
        if self._writing is None or self._writing.name != part.name:
            self._writing = _OpenPart(self.directory, part.name)
        for offset, length in part.missing.get(name, ()):
            self._check_size(name, data, length)
            beneath.write_all(self._writing.descriptor, data, offset)
        part.missing.pop(name, None)
        if not part.missing:
            self._finish(_digest(part.name))

    def _finish(self, ref: Digest) -> None:
        part = self._parts.pop(ref, None)
        if part is None:
            return  # finished by the last of several local chunks
        self._writing = None
        os.rename(part.name, _hex(ref), src_dir_fd=self.directory, dst_dir_fd=self.directory)
        self._complete.add(ref)

    def _open_part(self, content: Content, chunks: Chunks) -> _Part:
        name = _hex(content.ref) + _PART
        try:
            opened = beneath.open_for_writing(self.directory, name)
        except FileNotFoundError:
            opened = beneath.create_file(self.directory, name)
        try:
            part = _Part(name, _group(_absent(opened, chunks)))
            os.ftruncate(opened, content.size)
        finally:
            os.close(opened)
        self._parts[content.ref] = part
        return part

    def _readmit(self, name: bytes) -> None:
        """Count a file from before a crash, or drop it when it is not what its name says."""
        with beneath.file(self.directory, (name,)) as opened:
            content, _ = build_content(tuple(chunks_of_file(opened, os.fstat(opened).st_size)))
        if _hex(content.ref) == name:
            self._complete.add(content.ref)
        else:
            os.unlink(name, dir_fd=self.directory)

    @staticmethod
    def _check_size(name: Digest, data: bytes, size: int) -> None:
        if len(data) != size:
            raise IntegrityError(f"chunk {name.hex()[:16]} has {len(data)} bytes where the tree says {size}")


def staged_name(content: Content) -> bytes:
    """The file name of a staged content."""
    return _hex(content.ref)


def _hex(ref: Digest) -> bytes:
    return ref.hex().encode("ascii")


def _digest(name: bytes) -> Digest:
    return Digest(bytes.fromhex(name[: 2 * DIGEST_BYTES].decode("ascii")))


def _absent(opened: int, chunks: Chunks) -> Iterator[tuple[Digest, int, int]]:
    size = os.fstat(opened).st_size
    for name, offset, length in chunks:
        if offset + length > size or digest(beneath.read_range(opened, offset, length)) != name:
            yield name, offset, length


def _group(chunks: Iterable[tuple[Digest, int, int]]) -> dict[Digest, list[tuple[int, int]]]:
    places: dict[Digest, list[tuple[int, int]]] = {}
    for name, offset, length in chunks:
        places.setdefault(name, []).append((offset, length))
    return places
