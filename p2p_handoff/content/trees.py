# SPDX-License-Identifier: Apache-2.0
"""Walks through trees of directory objects: everything below a root, or what differs between two.

Layer: content, pure. Specification: docs/specs/content.md §4. Equal digests mean equal subtrees, so a
difference costs what changed and not what is there. Depth and number of entries are bounded: a small object
that names one child twice, nested, stands for an exponential tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from p2p_handoff.content.digests import Digest, verify
from p2p_handoff.content.objects import Entry, EntryKind, Read, decode_directory
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import MAX_TREE_DEPTH, MAX_TREE_ENTRIES

_Item = TypeVar("_Item")
Path = tuple[bytes, ...]
"""Names from the root down; never empty."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that differs between two trees."""

    path: Path
    old: Entry | None
    """None: added."""
    new: Entry | None
    """None: removed."""


def walk(root: Digest, read: Read) -> Iterator[tuple[Path, Entry]]:
    """Every entry below a root, depth first, parents before children, siblings sorted by name.

    Args:
        root: Digest of a directory object.
        read: Gives a directory object by digest.

    Raises:
        IntegrityError: An object is malformed or not what its digest says, or the tree is too deep or too large.
        PathError: An impossible name. Whatever ``read`` raises passes through.
    """
    return _bounded(_walk((), root, read))


def diff(old: Digest | None, new: Digest, read: Read) -> Iterator[Change]:
    """What differs between two trees; subtrees with equal digests are not read.

    A directory that was added or removed is a change of its own: added parents come before their children,
    removed ones behind. A directory that differs only inside is none. An entry whose kind changed is removed,
    then added.

    Args:
        old: Root of the tree before; None for no tree.
        new: Root of the tree after.
        read: Gives a directory object of either tree by digest.

    Raises:
        IntegrityError: As in ``walk``.
        PathError: As in ``walk``.
    """
    return _bounded(_diff((), old, new, read))


def _bounded(items: Iterator[_Item]) -> Iterator[_Item]:
    for count, item in enumerate(items):
        if count == MAX_TREE_ENTRIES:
            raise IntegrityError(f"a tree has more than {MAX_TREE_ENTRIES} entries")
        yield item


def _entries(path: Path, name: Digest | None, read: Read) -> dict[bytes, Entry]:
    if name is None:
        return {}
    if len(path) >= MAX_TREE_DEPTH:
        raise IntegrityError(f"a tree is nested more than {MAX_TREE_DEPTH} deep")
    data = read(name)
    verify(name, data)
    return {entry.name: entry for entry in decode_directory(data)}


def _subtree(entry: Entry | None) -> Digest | None:
    """The directory object behind an entry, if it is a directory."""
    if entry is None or entry.kind is not EntryKind.DIRECTORY or entry.content is None:
        return None
    return entry.content.ref


def _walk(path: Path, name: Digest, read: Read) -> Iterator[tuple[Path, Entry]]:
    for entry in _entries(path, name, read).values():
        here = (*path, entry.name)
        yield here, entry
        if (subtree := _subtree(entry)) is not None:
            yield from _walk(here, subtree, read)


def _diff(path: Path, old: Digest | None, new: Digest | None, read: Read) -> Iterator[Change]:
    if old == new:
        return
    before, after = _entries(path, old, read), _entries(path, new, read)
    for name in sorted(before.keys() | after.keys()):
        yield from _entry_diff((*path, name), before.get(name), after.get(name), read)


def _entry_diff(path: Path, old: Entry | None, new: Entry | None, read: Read) -> Iterator[Change]:
    if old == new:
        return
    if old is not None and new is not None and old.kind is not new.kind:
        yield from _entry_diff(path, old, None, read)
        yield from _entry_diff(path, None, new, read)
        return
    old_tree, new_tree = _subtree(old), _subtree(new)
    if old_tree is None and new_tree is None:
        yield Change(path, old, new)
        return
    if old is None:
        yield Change(path, None, new)
    yield from _diff(path, old_tree, new_tree, read)
    if new is None:
        yield Change(path, old, None)
