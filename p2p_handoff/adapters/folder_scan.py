# SPDX-License-Identifier: Apache-2.0
"""Turns a directory on disk into a Merkle tree of directory objects. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §2-4. One walk with held descriptors looks at every status; only files that
the stat cache does not know are read: small ones at once, large ones by a pool (BLAKE3 and reads release the
interpreter's lock). The objects are built from the leaves up, and those of directories in which nothing changed
are taken from the previous scan.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from p2p_handoff.adapters import beneath, git_unit
from p2p_handoff.adapters.file_hash import SMALL, HashedFile, hash_file, hash_small
from p2p_handoff.adapters.ignore import IgnoreRules, looks_like_staging
from p2p_handoff.adapters.stat_cache import FileRecord
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, build_content, encode_directory
from p2p_handoff.errors import PathError, StorageError
from p2p_handoff.limits import MAX_TREE_DEPTH

_WORKERS: Final = min(4, os.cpu_count() or 1)
_GIT_ATTEMPTS: Final = 3
"""Scans of a folder whose repositories keep moving, before the last one stands."""


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
    skipped: tuple[bytes, ...]
    """Sockets, fifos and devices: they cannot be handed off."""
    written: frozenset[bytes] = frozenset()
    """Files that somebody had open for writing while they were hashed: their times may lie from then on."""
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
        return {name: data for record in long for name, data in _indexes_of(record, self.built).items()}

    def objects(self) -> dict[Digest, bytes]:
        """Every directory and index object by digest."""
        found = {directory.content.ref: directory.data for directory in self.directories.values()}
        found.update(self.indexes)
        return found

    def entry(self, path: beneath.Components) -> Entry | None:
        """What was found at a path."""
        parent = self.directories.get(b"/".join(path[:-1]))
        if parent is None:
            return None
        place = bisect_left(parent.entries, path[-1], key=_by_name)
        found = parent.entries[place : place + 1]
        return found[0] if found and found[0].name == path[-1] else None


def _scanned(entries: tuple[Entry, ...]) -> ScannedDirectory:
    data = encode_directory(entries)
    return ScannedDirectory(entries, Content(digest(data), len(data), 0, len(data)), data)


NOTHING: Final = Scan({b"": _scanned(())}, {}, ())
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
    touched = {above for path in gone for above in _parents(path) if above in directories}
    for path in sorted(touched, key=lambda path: path.count(b"/") + bool(path), reverse=True):
        prefix = path + b"/" if path else b""
        kept = (entry for entry in directories[path].entries if prefix + entry.name not in gone)
        entries = tuple(_as_it_is_now(entry, directories.get(prefix + entry.name)) for entry in kept)
        directories[path] = _scanned(entries)
    return Scan(directories, records, found.skipped, found.written - gone, found.built)


def lies_in(path: bytes, places: frozenset[bytes]) -> bool:
    """True for a path that is one of some places or lies beneath one."""
    if path in places:
        return True
    return bool(places) and any(above in places for above in _parents(path) if above)


def _parents(path: bytes) -> Iterator[bytes]:
    """The directories that a path lies in, the nearest first; the last one is the folder itself, the empty path."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _as_it_is_now(entry: Entry, directory: ScannedDirectory | None) -> Entry:
    return entry if directory is None else replace(entry, content=directory.content)


def scan(root: int, known: Mapping[bytes, FileRecord], rules: IgnoreRules, previous: Scan = NOTHING) -> Scan:
    """Take a picture of a folder.

    Args:
        root: Descriptor of the folder.
        known: Records of earlier scans by path, to be trusted where the status is the same.
        rules: What to leave out.
        previous: The last scan in this process, whose objects are reused.

    Raises:
        ContentGoneError: A file keeps changing while it is read.
        StorageError: Something cannot be read.
        PathError: The tree is too deep, or a directory too large.
    """
    found = _Walk(root, known, rules, previous)
    for _ in range(_GIT_ATTEMPTS - 1):
        if found.repositories_held_still():
            break
        found = _Walk(root, found.records, rules, previous)
    return found.result()


@dataclass(slots=True)
class _Directory:
    path: bytes
    entries: list[Entry] = field(default_factory=list)
    children: list[bytes] = field(default_factory=list)


class _Walk:
    """One pass over a folder; see ``scan`` for the arguments."""

    def __init__(self, root: int, known: Mapping[bytes, FileRecord], rules: IgnoreRules, previous: Scan) -> None:
        self._root = root
        self._known = known
        self._rules = rules
        self._previous = previous
        self._directories: list[_Directory] = []
        self._large: list[tuple[_Directory, bytes, bytes]] = []
        self._repositories: list[tuple[beneath.Components, git_unit.Stillness]] = []
        self._skipped: list[bytes] = []
        self._built: dict[Digest, dict[Digest, bytes]] = {}
        self._written: set[bytes] = set()
        self.records: dict[bytes, FileRecord] = {}
        self._visit(root, b"", 0)
        self._hash_large()

    def repositories_held_still(self) -> bool:
        """False when git changed a repository while it was read."""
        return all(self._still(path) == before for path, before in self._repositories)

    def result(self) -> Scan:
        """The picture: children before parents, so that a parent can name them."""
        built: dict[bytes, ScannedDirectory] = {}
        for found in reversed(self._directories):
            prefix = found.path + b"/" if found.path else b""
            found.entries.extend(
                Entry(name, EntryKind.DIRECTORY, content=built[prefix + name].content) for name in found.children
            )
            built[found.path] = self._directory(found)
        return Scan(built, self.records, tuple(self._skipped), frozenset(self._written), self._built)

    def _directory(self, found: _Directory) -> ScannedDirectory:
        entries = tuple(sorted(found.entries, key=_by_name))
        before = self._previous.directories.get(found.path)
        if before is not None and before.entries == entries:
            return before
        return _scanned(entries)

    def _visit(self, opened: int, path: bytes, depth: int) -> None:
        if depth >= MAX_TREE_DEPTH:
            raise PathError(f"{os.fsdecode(path)!r} is nested deeper than {MAX_TREE_DEPTH} directories")
        here = _Directory(path)
        self._directories.append(here)
        prefix = path + b"/" if path else b""
        with os.scandir(opened) as items:
            listed = [(item, os.fsencode(item.name)) for item in items]
        for item, name in listed:
            if not self._rules.ignores(prefix + name, directory=item.is_dir(follow_symlinks=False)):
                self._take(opened, here, prefix + name, item)
            elif looks_like_staging(name):
                self._skipped.append(prefix + name)

    def _take(self, opened: int, here: _Directory, path: bytes, item: os.DirEntry[str]) -> None:
        try:
            if item.is_dir(follow_symlinks=False):
                self._take_directory(opened, here, path, os.fsencode(item.name))
            elif item.is_symlink():
                name = os.fsencode(item.name)
                here.entries.append(Entry(name, EntryKind.SYMLINK, target=os.readlink(name, dir_fd=opened)))
            elif item.is_file(follow_symlinks=False):
                self._take_file(opened, here, path, item.stat(follow_symlinks=False))
            else:
                self._skipped.append(path)
        except FileNotFoundError:
            pass  # it went away while we looked: the picture is the one after
        except OSError as error:
            raise _unreadable(error, path) from error

    def _take_directory(self, opened: int, here: _Directory, path: bytes, name: bytes) -> None:
        with beneath.directory(opened, (name,)) as child:
            if name == git_unit.GIT:
                self._repositories.append((tuple(path.split(b"/")), git_unit.wait_until_still(child)))
            self._visit(child, path, path.count(b"/") + 1)
        here.children.append(name)

    def _take_file(self, opened: int, here: _Directory, path: bytes, status: os.stat_result) -> None:
        record = self._known.get(path)
        if record is not None and record.describes(status):
            self._keep(here, path, HashedFile(record, self._previous.built.get(record.content.ref, {})))
            return
        name = path.rpartition(b"/")[2]
        if status.st_size <= SMALL and (hashed := _hash_beside(opened, name, status)) is not None:
            self._keep(here, path, hashed)
        else:
            self._large.append((here, path, name))

    def _keep(self, here: _Directory, path: bytes, hashed: HashedFile) -> None:
        here.entries.append(hashed.record.entry)
        self.records[path] = hashed.record
        if hashed.indexes:
            self._built[hashed.record.content.ref] = hashed.indexes
        if hashed.written:
            self._written.add(path)

    def _hash_large(self) -> None:
        if not self._large:
            return
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="hash") as pool:
            jobs = [(item, pool.submit(self._hash, item[1], item[2])) for item in self._large]
            try:
                for (here, path, _), job in jobs:
                    self._collect(here, path, job)
            finally:
                pool.shutdown(cancel_futures=True)

    def _collect(self, here: _Directory, path: bytes, job: Future[HashedFile]) -> None:
        try:
            self._keep(here, path, job.result())
        except FileNotFoundError:
            pass  # as in _take
        except OSError as error:
            raise _unreadable(error, path) from error

    def _hash(self, path: bytes, name: bytes) -> HashedFile:
        with beneath.file(self._root, tuple(path.split(b"/"))) as opened:
            return hash_file(opened, name)

    def _still(self, path: beneath.Components) -> git_unit.Stillness | None:
        try:
            with beneath.directory(self._root, path) as repository:
                return git_unit.observe(repository)
        except OSError:
            return None


def _by_name(entry: Entry) -> bytes:
    return entry.name


def _hash_beside(opened: int, name: bytes, status: os.stat_result) -> HashedFile | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(name, flags, dir_fd=opened)
    try:
        return hash_small(file, name, status) if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        os.close(file)


def _indexes_of(record: FileRecord, built: dict[Digest, dict[Digest, bytes]]) -> dict[Digest, bytes]:
    found = built.get(record.content.ref)
    if found is None:
        found = built[record.content.ref] = build_content(record.chunks)[1]
    return found


def _unreadable(error: OSError, path: bytes) -> Exception:
    if isinstance(error, PermissionError):
        advice = "make it readable, or list it in .handoffignore"
        return StorageError(f"{os.fsdecode(path)!r} cannot be read: permission denied", advice=advice)
    return beneath.typed(error, f"read {os.fsdecode(path)!r}")


def unchanged_since(records: Mapping[bytes, FileRecord], known: Mapping[bytes, FileRecord]) -> bool:
    """True when a scan found nothing that the cache did not know: then the cache file stays as it is."""
    return len(records) == len(known) and all(known.get(path) is record for path, record in records.items())


def total_bytes(records: Iterable[FileRecord]) -> int:
    """Bytes of all files together."""
    return sum(record.content.size for record in records)
