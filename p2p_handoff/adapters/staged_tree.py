# SPDX-License-Identifier: Apache-2.0
"""The tree of a first arrival while it arrives: each file is written once, where it stays. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §7. As soon as the directory objects are here, directories, links and empty files
are made; a content of one chunk is written at all its places with mode and time, a longer one is renamed to its
first place in the end. A later round moves what is in the wrong place back among the staged contents.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.beneath import Components
from p2p_handoff.adapters.file_hash import WINDOW, chunks_of_file
from p2p_handoff.adapters.file_system_traits import Traits
from p2p_handoff.adapters.folder_journal import TREE
from p2p_handoff.adapters.platform_files import exists
from p2p_handoff.adapters.staged_contents import staged_name
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Entry, EntryKind, build_content

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class StagedTree:
    """The tree of one first arrival; nothing of it is there yet.

    Args:
        staging: Descriptor of the staging directory.
        contents: Descriptor of the directory of staged contents.
        traits: Gives the modes.
    """

    def __init__(self, staging: int, contents: int, traits: Traits) -> None:
        self._staging = staging
        self._contents = contents
        self._traits = traits
        self._made: dict[Components, Entry] = {}
        """What stands in the tree."""
        self._awaited: dict[Digest, list[tuple[Components, Entry]]] = {}
        """Where each content goes that does not stand there."""
        self._places: dict[Digest, Components] = {}
        """One place in the tree for each content that it has."""
        self._way: list[tuple[bytes, beneath.HeldDirectory]] = []

    def aim(self, wanted: Mapping[Components, Entry]) -> None:
        """Turn to a tree, the same or another one; what it has in common with the one before stays.

        Args:
            wanted: Every entry by path, parents before children.

        Raises:
            OSError: The disk is full or failing; aim again before anything else.
        """
        if not exists(self._staging, TREE):
            os.mkdir(TREE, dir_fd=self._staging)
        for path in reversed([path for path, entry in self._made.items() if not _stays(entry, wanted.get(path))]):
            self._take_out(path, self._made[path])
            del self._made[path]
        self._awaited.clear()
        for path, entry in wanted.items():
            if path not in self._made:
                self._begin(path, entry)

    def write(self, name: Digest, data: bytes) -> bool:
        """Write a content of one chunk at all its places; False when it has none.

        Raises:
            OSError: It cannot be written; what is there of it is removed.
        """
        places = self._awaited.get(name, [])
        for path, entry in places:
            if path not in self._made:
                self._write(path, entry, data)
                self._places[name] = path
        self._awaited.pop(name, None)
        return bool(places)

    def finish(self) -> None:
        """Put the other contents where they belong; all of them are here.

        Raises:
            OSError: The disk is full or failing; aim again before anything else.
        """
        for name, places in list(self._awaited.items()):
            for path, entry in places:
                if path not in self._made:
                    self._fill(path, entry)
            del self._awaited[name]

    def close(self) -> None:
        """Close what is open."""
        self._way.clear()

    def _begin(self, path: Components, entry: Entry) -> None:
        if entry.content is None:
            os.symlink(entry.target, path[-1], dir_fd=self._parent(path))
        elif entry.kind is EntryKind.DIRECTORY:
            os.mkdir(path[-1], dir_fd=self._parent(path))
        elif not entry.content.size:
            return self._write(path, entry, b"")
        else:
            self._awaited.setdefault(entry.content.ref, []).append((path, entry))
            return None
        self._made[path] = entry
        return None

    def _write(self, path: Components, entry: Entry, data: bytes) -> None:
        with self._created(path, entry) as created:
            beneath.write_all(created, data, 0)
        self._made[path] = entry

    def _fill(self, path: Components, entry: Entry) -> None:
        content = entry.content
        assert content is not None
        before = self._places.get(content.ref)
        if before is None:
            self._move_in(staged_name(content), path, entry)
            self._places[content.ref] = path
        else:
            self._copy(before, path, entry)
        self._made[path] = entry

    def _move_in(self, staged: bytes, path: Components, entry: Entry) -> None:
        with beneath.file(self._contents, (staged,)) as opened:
            os.fchmod(opened, self._traits.mode(executable=entry.executable))
            os.utime(opened, ns=(entry.mtime_ns, entry.mtime_ns))
        os.rename(staged, path[-1], src_dir_fd=self._contents, dst_dir_fd=self._parent(path))

    def _copy(self, before: Components, path: Components, entry: Entry) -> None:
        """Two files must not share an inode: whoever changed one would change both."""
        with beneath.file(self._parent(before), before[-1:]) as source, self._created(path, entry) as target:
            offset = 0
            while window := beneath.read_range(source, offset, WINDOW):
                beneath.write_all(target, window, offset)
                offset += len(window)

    @contextmanager
    def _created(self, path: Components, entry: Entry) -> Iterator[int]:
        """A new file, which gets its time in the end; removed where that does not come."""
        parent = self._parent(path)
        created = os.open(path[-1], _NEW, self._traits.mode(executable=entry.executable), dir_fd=parent)
        try:
            yield created
            os.utime(created, ns=(entry.mtime_ns, entry.mtime_ns))
        except OSError:
            os.unlink(path[-1], dir_fd=parent)
            raise
        finally:
            os.close(created)

    def _take_out(self, path: Components, entry: Entry) -> None:
        parent = self._parent(path)
        if entry.kind is EntryKind.DIRECTORY:
            os.rmdir(path[-1], dir_fd=parent)
        elif entry.content is None or not entry.content.size:
            os.unlink(path[-1], dir_fd=parent)
        else:
            os.rename(path[-1], staged_name(entry.content), src_dir_fd=parent, dst_dir_fd=self._contents)
            # From now on it is taken from there, also where it stands elsewhere in the tree.
            self._places.pop(entry.content.ref, None)

    def _parent(self, path: Components) -> int:
        """The descriptor of the directory that a path is in. The way to it stays open: what arrives comes in order."""
        shared = _common_length([name for name, _ in self._way], (TREE, *path[:-1]))
        del self._way[shared:]
        for name in (TREE, *path[:-1])[shared:]:
            above = self._way[-1][1].descriptor if self._way else self._staging
            self._way.append((name, beneath.HeldDirectory(beneath.open_directory(above, (name,)))))
        return self._way[-1][1].descriptor


def reclaim(staging: int, contents: int) -> Iterator[Digest]:
    """Move what a crash left of a tree among the staged contents, each file under the digest that it has.

    Args:
        staging: Descriptor of the staging directory.
        contents: Descriptor of the directory of staged contents.

    Yields:
        What was found, by digest.

    Raises:
        OSError: The disk is failing.
    """
    if exists(staging, TREE):
        with beneath.directory(staging, (TREE,)) as tree:
            yield from _reclaim_below(tree, contents)
        beneath.remove_tree(staging, TREE)


def _reclaim_below(parent: int, contents: int) -> Iterator[Digest]:
    with os.scandir(parent) as listed:
        found = [(os.fsencode(item.name), item.is_dir(follow_symlinks=False), item.is_symlink()) for item in listed]
    for name, is_directory, is_link in found:
        if is_directory:
            with beneath.directory(parent, (name,)) as opened:
                yield from _reclaim_below(opened, contents)
        elif not is_link:
            with beneath.file(parent, (name,)) as opened:
                content, _ = build_content(tuple(chunks_of_file(opened, os.fstat(opened).st_size)))
            os.rename(name, staged_name(content), src_dir_fd=parent, dst_dir_fd=contents)
            yield content.ref


def _common_length(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    pairs = zip(one, other, strict=False)
    return next((number for number, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def _stays(made: Entry, wanted: Entry | None) -> bool:
    if made.kind is EntryKind.DIRECTORY:
        return wanted is not None and wanted.kind is EntryKind.DIRECTORY
    return made == wanted
