# SPDX-License-Identifier: Apache-2.0
"""One picture of a folder: its directories, its files, and the objects that name them. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §2. Values only: folder_scan takes them, everything else reads them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from p2p_handoff.adapters.stat_cache import FileRecord
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content, Entry, build_content, encode_directory


@dataclass(frozen=True, slots=True)
class ScannedDirectory:
    """One directory as it was found."""

    entries: tuple[Entry, ...]
    """Sorted by name."""
    content: Content
    data: bytes
    """Its directory object."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One picture of a folder. Paths are relative, joined by ``/``; the folder itself is the empty path."""

    directories: Mapping[bytes, ScannedDirectory]
    records: Mapping[bytes, FileRecord]
    total_bytes: int = 0
    """Of all files together."""
    skipped: tuple[bytes, ...] = ()
    """Sockets, fifos and devices: they cannot be handed off."""
    written: frozenset[bytes] = frozenset()
    """Files that somebody had open for writing while they were hashed: their times may lie from then on."""
    linked: frozenset[bytes] = frozenset()
    """Files with other names: who writes through one of these is not told to who watches this folder."""
    hashed: Mapping[bytes, FileRecord] = field(default_factory=dict, compare=False, repr=False)
    """The files that were read for this picture."""
    built: dict[Digest, dict[Digest, bytes]] = field(default_factory=dict, compare=False, repr=False)
    """Index objects by the content that they belong to, as far as somebody asked for them."""

    @property
    def root(self) -> Content:
        """The folder's own directory object."""
        return self.directories[b""].content

    @property
    def indexes(self) -> dict[Digest, bytes]:
        """Every index object by digest; built when first asked for, because most pictures are only compared."""
        long = (record for record in self.records.values() if record.chunks)
        return {name: data for record in long for name, data in self._indexes_of(record).items()}

    def _indexes_of(self, record: FileRecord) -> dict[Digest, bytes]:
        found = self.built.get(record.content.ref)
        if found is None:
            found = self.built[record.content.ref] = build_content(record.chunks)[1]
        return found

    def objects(self) -> dict[Digest, bytes]:
        """Every directory and index object by digest."""
        found = {directory.content.ref: directory.data for directory in self.directories.values()}
        found.update(self.indexes)
        return found

    def entry(self, path: tuple[bytes, ...]) -> Entry | None:
        """What was found at a path, given by its components."""
        parent = self.directories.get(b"/".join(path[:-1]))
        if parent is None:
            return None
        place = bisect_left(parent.entries, path[-1], key=by_name)
        found = parent.entries[place : place + 1]
        return found[0] if found and found[0].name == path[-1] else None


def by_name(entry: Entry) -> bytes:
    """The order of entries in a directory."""
    return entry.name


def scanned(entries: tuple[Entry, ...]) -> ScannedDirectory:
    """A directory of these entries, which are sorted."""
    data = encode_directory(entries)
    return ScannedDirectory(entries, Content(digest(data), len(data), 0, len(data)), data)


NOTHING: Final = Scan({b"": scanned(())}, {})
"""The picture of an empty folder."""


def leave_out(found: Scan, paths: Collection[bytes]) -> Scan:
    """A picture as if some paths, and what lies beneath them, were not there. Empty directories stay.

    Args:
        found: The picture.
        paths: What to leave out; one that is not there changes nothing.
    """
    gone = frozenset(paths)
    records = {path: record for path, record in found.records.items() if not lies_in(path, gone)}
    directories = {path: known for path, known in found.directories.items() if not lies_in(path, gone)}
    touched = {above for path in gone for above in parents(path) if above in directories}
    for path in sorted(touched, key=depth, reverse=True):
        prefix = path + b"/" if path else b""
        kept = (entry for entry in directories[path].entries if prefix + entry.name not in gone)
        entries = tuple(_as_it_is_now(entry, directories.get(prefix + entry.name)) for entry in kept)
        directories[path] = scanned(entries)
    return replace(
        found,
        directories=directories,
        records=records,
        total_bytes=total_bytes(records.values()),
        written=found.written - gone,
    )


def total_bytes(records: Iterable[FileRecord]) -> int:
    """Bytes of some files together."""
    return sum(record.entry.content.size for record in records if record.entry.content is not None)


def lies_in(path: bytes, places: frozenset[bytes]) -> bool:
    """True for a path that is one of some places or lies beneath one."""
    if path in places:
        return True
    return bool(places) and any(above in places for above in parents(path) if above)


def parents(path: bytes) -> Iterator[bytes]:
    """The directories that a path lies in, the nearest first; the last one is the folder itself, the empty path."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def depth(path: bytes) -> int:
    """How many directories lie between the folder and a path in it, the path itself included."""
    return path.count(b"/") + bool(path)


def _as_it_is_now(entry: Entry, directory: ScannedDirectory | None) -> Entry:
    return entry if directory is None else replace(entry, content=directory.content)
