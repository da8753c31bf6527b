# SPDX-License-Identifier: Apache-2.0
"""Turns a directory on disk into a Merkle tree of directory objects. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §2-4. ``scan`` walks with held descriptors and looks at every status; ``rescan``
looks only at what a watcher named, and takes the rest from the last picture. Either way only files that the stat
cache does not know are read: small ones at once, large ones by a pool (BLAKE3 and reads release the interpreter's
lock). The objects are built from the leaves up, and those of directories in which nothing changed are reused.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from p2p_handoff.adapters import beneath, git_unit
from p2p_handoff.adapters.changes import Changes
from p2p_handoff.adapters.file_hash import SMALL, HashedFile, hash_file, hash_small
from p2p_handoff.adapters.ignore import IgnoreRules, looks_like_staging
from p2p_handoff.adapters.scanned import (
    NOTHING,
    Scan,
    ScannedDirectory,
    by_name,
    depth,
    lies_in,
    parents,
    scanned,
    total_bytes,
)
from p2p_handoff.adapters.stat_cache import FileRecord, lasting
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Entry, EntryKind
from p2p_handoff.errors import PathError, StorageError
from p2p_handoff.limits import MAX_TREE_DEPTH

_WORKERS: Final = min(4, os.cpu_count() or 1)
_GIT_ATTEMPTS: Final = 3
"""Scans of a folder whose repositories keep moving, before the last one stands."""


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
    began = time.time_ns()
    found = _Walk(root, known, rules, previous)
    found.everything()
    for _ in range(_GIT_ATTEMPTS - 1):
        if found.repositories_held_still():
            break
        found = _Walk(root, lasting(found.records, began), rules, previous)
        found.everything()
    return found.result()


def rescan(root: int, known: Mapping[bytes, FileRecord], rules: IgnoreRules, previous: Scan, changes: Changes) -> Scan:
    """Take a picture of a folder of which only some paths may have changed.

    Args:
        root: As for ``scan``.
        known: As for ``scan``.
        rules: Those of the previous scan.
        previous: The last scan.
        changes: Everything that may differ from it.

    Raises:
        ContentGoneError, StorageError, PathError: As for ``scan``.
    """
    found = _Walk(root, known, rules, previous)
    found.only(changes)
    if found.repositories_held_still():
        return found.result()
    return scan(root, known, rules, previous)


class _Item(Protocol):
    """What stands under a name, in the shape of ``os.DirEntry``."""

    def is_dir(self, *, follow_symlinks: bool) -> bool: ...

    def is_symlink(self) -> bool: ...

    def is_file(self, *, follow_symlinks: bool) -> bool: ...

    def stat(self, *, follow_symlinks: bool) -> os.stat_result: ...


@dataclass(frozen=True, slots=True)
class _Found:
    """An item that was looked at by its name."""

    status: os.stat_result

    def is_dir(self, *, follow_symlinks: bool) -> bool:  # noqa: ARG002 - never followed
        return stat.S_ISDIR(self.status.st_mode)

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)

    def is_file(self, *, follow_symlinks: bool) -> bool:  # noqa: ARG002 - never followed
        return stat.S_ISREG(self.status.st_mode)

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:  # noqa: ARG002 - never followed
        return self.status


@dataclass(slots=True)
class _Directory:
    """A directory that is being looked at."""

    path: bytes
    entries: dict[bytes, Entry] = field(default_factory=dict)
    """Files and links by name."""
    children: set[bytes] = field(default_factory=set)
    """Names of directories."""

    def forget(self, name: bytes) -> None:
        self.entries.pop(name, None)
        self.children.discard(name)


class _Walk:
    """One pass over a folder, or over parts of it; see ``scan`` for the arguments."""

    def __init__(self, root: int, known: Mapping[bytes, FileRecord], rules: IgnoreRules, previous: Scan) -> None:
        self._root = root
        self._known = known
        self._rules = rules
        self._previous = previous
        self._directories: dict[bytes, _Directory] = {}
        self._kept: dict[bytes, ScannedDirectory] = {}
        """Directories of the previous scan that stand as they are."""
        self._large: list[tuple[_Directory, bytes]] = []
        self._repositories: list[tuple[beneath.Components, git_unit.Stillness]] = []
        self._skipped: list[bytes] = []
        self._built: dict[Digest, dict[Digest, bytes]] = {}
        self._written: set[bytes] = set()
        self._linked: set[bytes] = set()
        self._shared: set[int] = set()
        """Inodes of these."""
        self._hashed: dict[bytes, FileRecord] = {}
        self.records: dict[bytes, FileRecord] = {}

    def everything(self) -> None:
        """Look at all there is."""
        self._visit(self._root, b"")
        self._hash_large()

    def only(self, changes: Changes) -> None:
        """Look at what may have changed, and take over the rest."""
        before = self._previous
        self.records, self._kept = dict(before.records), dict(before.directories)
        self._built.update(before.built)
        units = {unit for path in changes.entries if (unit := _unit(path)) != path}
        trees = units | {_unit(path) for path in changes.trees}
        looked = frozenset(trees | changes.entries)
        self._skipped += [path for path in before.skipped if not lies_in(path, looked)]
        self._linked |= before.linked
        for path in sorted(looked):
            if not any(above in trees for above in parents(path)):
                self._look_again(path, deep=path in trees)
        for path in sorted(self._other_names() - looked):
            self._look_again(path, deep=False)
        self._hash_large()

    def _other_names(self) -> set[bytes]:
        """Files that just got further names: who wrote through one of these is not told of under the others."""
        fresh = self._shared - {self.records[path].inode for path in self._previous.linked if path in self.records}
        return {path for path, record in self.records.items() if record.inode in fresh} if fresh else set()

    def repositories_held_still(self) -> bool:
        """False when git changed a repository while it was read."""
        return all(self._still(path) == before for path, before in self._repositories)

    def result(self) -> Scan:
        """The picture: children before parents, so that a parent can name them."""
        above = {parent for path in self._directories for parent in parents(path)}
        for path in above - self._directories.keys():
            self._reopened(path)
        built = self._kept
        for path in sorted(self._directories, key=depth, reverse=True):
            found = self._directories[path]
            prefix = path + b"/" if path else b""
            for name in found.children:
                found.entries[name] = Entry(name, EntryKind.DIRECTORY, content=built[prefix + name].content)
            built[path] = self._directory(found)
        return Scan(
            directories=built,
            records=self.records,
            total_bytes=total_bytes(self.records.values()),
            skipped=tuple(self._skipped),
            written=frozenset(self._written),
            linked=frozenset(self._linked),
            hashed=self._hashed,
            built=self._built,
        )

    def _directory(self, found: _Directory) -> ScannedDirectory:
        entries = tuple(sorted(found.entries.values(), key=by_name))
        before = self._previous.directories.get(found.path)
        if before is not None and before.entries == entries:
            return before
        return scanned(entries)

    # --- all of a directory -------------------------------------------------------------------

    def _visit(self, opened: int, path: bytes) -> None:
        if depth(path) >= MAX_TREE_DEPTH:
            raise PathError(f"{os.fsdecode(path)!r} is nested deeper than {MAX_TREE_DEPTH} directories")
        here = self._directories[path] = _Directory(path)
        prefix = path + b"/" if path else b""
        with os.scandir(opened) as items:
            listed = [(item, os.fsencode(item.name)) for item in items]
        for item, name in listed:
            if not self._rules.ignores(prefix + name, directory=item.is_dir(follow_symlinks=False)):
                self._take(opened, here, name, item)
            elif looks_like_staging(name):
                self._skipped.append(prefix + name)

    def _take(self, opened: int, here: _Directory, name: bytes, item: _Item) -> None:
        path = here.path + b"/" + name if here.path else name
        try:
            if item.is_dir(follow_symlinks=False):
                self._take_directory(opened, here, path, name)
            elif item.is_symlink():
                here.entries[name] = Entry(name, EntryKind.SYMLINK, target=os.readlink(name, dir_fd=opened))
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
            self._visit(child, path)
        here.children.add(name)

    def _take_file(self, opened: int, here: _Directory, path: bytes, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            self._linked.add(path)
            self._shared.add(status.st_ino)
        record = self._known.get(path)
        if record is not None and record.describes(status):
            self._keep(here, path, record)
            if record.chunks and (indexes := self._previous.built.get(record.content.ref)) is not None:
                self._built[record.content.ref] = indexes
            return
        name = path.rpartition(b"/")[2]
        if status.st_size <= SMALL and (hashed := _hash_beside(opened, name, status)) is not None:
            self._keep_hashed(here, path, hashed)
        else:
            self._large.append((here, path))

    def _keep(self, here: _Directory, path: bytes, record: FileRecord) -> None:
        here.entries[record.entry.name] = record.entry
        self.records[path] = record

    def _keep_hashed(self, here: _Directory, path: bytes, hashed: HashedFile) -> None:
        self._keep(here, path, hashed.record)
        self._hashed[path] = hashed.record
        if hashed.indexes:
            self._built[hashed.record.content.ref] = hashed.indexes
        if hashed.written:
            self._written.add(path)

    # --- one name of a directory --------------------------------------------------------------

    def _look_again(self, path: bytes, *, deep: bool) -> None:
        *above, name = path.split(b"/")
        here = self._reopened(b"/".join(above))
        if here is None:
            return  # What it lies in is left out, or gone: then that is told as well.
        try:
            with beneath.directory(self._root, tuple(above)) as opened:
                self._replace(opened, here, name, deep=deep)
        except OSError as error:
            if not beneath.is_absence(error):
                raise _unreadable(error, here.path) from error

    def _replace(self, opened: int, here: _Directory, name: bytes, *, deep: bool) -> None:
        path = here.path + b"/" + name if here.path else name
        item = _status_of(opened, name)
        if item is not None and item.is_dir(follow_symlinks=False) and name in here.children and not deep:
            return  # What lies beneath is told by itself.
        here.forget(name)
        self._forget(path)
        ignored = item is None or self._rules.ignores(path, directory=item.is_dir(follow_symlinks=False))
        if item is not None and not ignored:
            self._take(opened, here, name, item)
        elif item is not None and looks_like_staging(name):
            self._skipped.append(path)

    def _reopened(self, path: bytes) -> _Directory | None:
        """A directory of the previous picture, as it stands so far; None when it was not in it, or is not any more."""
        if path not in self._directories and path in self._kept:
            here = self._directories[path] = _Directory(path)
            for entry in self._kept[path].entries:
                if entry.kind is EntryKind.DIRECTORY:
                    here.children.add(entry.name)
                else:
                    here.entries[entry.name] = entry
        return self._directories.get(path)

    def _forget(self, path: bytes) -> None:
        """Whatever was beneath a path, and under it."""
        pending = [path]
        while pending:
            gone = pending.pop()
            record = self.records.pop(gone, None)
            if record is not None:
                self._built.pop(record.content.ref, None)
            self._linked.discard(gone)
            self._directories.pop(gone, None)
            directory = self._kept.pop(gone, None)
            pending += [gone + b"/" + entry.name for entry in directory.entries] if directory is not None else []

    # --- large files --------------------------------------------------------------------------

    def _hash_large(self) -> None:
        if not self._large:
            return
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="hash") as pool:
            jobs = [(item, pool.submit(self._hash, item[1])) for item in self._large]
            try:
                for (here, path), job in jobs:
                    self._collect(here, path, job)
            finally:
                pool.shutdown(cancel_futures=True)

    def _collect(self, here: _Directory, path: bytes, job: Future[HashedFile]) -> None:
        try:
            self._keep_hashed(here, path, job.result())
        except FileNotFoundError:
            pass  # as in _take
        except OSError as error:
            raise _unreadable(error, path) from error

    def _hash(self, path: bytes) -> HashedFile:
        components = tuple(path.split(b"/"))
        with beneath.file(self._root, components) as opened:
            return hash_file(opened, components[-1])

    def _still(self, path: beneath.Components) -> git_unit.Stillness | None:
        try:
            with beneath.directory(self._root, path) as repository:
                return git_unit.observe(repository)
        except OSError:
            return None


def _unit(path: bytes) -> bytes:
    """The path of the repository that a path lies in, which is looked at as a whole; else the path itself."""
    components = path.split(b"/")
    if git_unit.GIT not in components:
        return path
    return b"/".join(components[: components.index(git_unit.GIT) + 1])


def _status_of(opened: int, name: bytes) -> _Found | None:
    try:
        return _Found(os.stat(name, dir_fd=opened, follow_symlinks=False))
    except FileNotFoundError:
        return None


def _hash_beside(opened: int, name: bytes, status: os.stat_result) -> HashedFile | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(name, flags, dir_fd=opened)
    try:
        return hash_small(file, name, status) if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        os.close(file)


def _unreadable(error: OSError, path: bytes) -> Exception:
    if isinstance(error, PermissionError):
        advice = "make it readable, or list it in .handoffignore"
        return StorageError(f"{os.fsdecode(path)!r} cannot be read: permission denied", advice=advice)
    return beneath.typed(error, f"read {os.fsdecode(path)!r}")
