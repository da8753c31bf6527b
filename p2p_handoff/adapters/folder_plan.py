# SPDX-License-Identifier: Apache-2.0
"""Decides what an incoming tree changes in a folder that already lives here. Layer: I/O ring, adapters; pure.

Specification: docs/specs/adapters.md §8. Three trees meet: the base (last common state), the incoming one and
what is on disk. Only what differs between base and incoming is touched; whatever this device changed since the
base is kept, beside the incoming version where both changed the same thing. ``.git`` is replaced whole or not
at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from p2p_handoff.adapters.git_unit import GIT
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Entry, EntryKind, Read, decode_directory
from p2p_handoff.content.trees import Change, Path, diff

Lookup = Callable[[Path], Entry | None]
"""What a tree has at a path."""


class Step(IntEnum):
    """The kinds of operation; the numbers are written in journals."""

    MAKE_DIRECTORY = 0
    PLACE = 1
    """A file or symlink arrives at a path, whatever stands there."""
    TOUCH = 2
    """The bytes are right; time and execute bit are not."""
    REMOVE = 3
    REMOVE_DIRECTORY = 4
    """Only when it is empty by then."""
    EXCHANGE_UNIT = 5
    """A whole ``.git`` is replaced, or removed when nothing comes in."""
    ADD = 6
    """A file, symlink or ``.git`` arrives where nothing stands, else beside what does, as a conflict copy."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One idempotent change of the folder."""

    step: Step
    path: Path
    expected: Entry | None = None
    """What the base has there: only this may be discarded."""
    incoming: Entry | None = None


@dataclass(frozen=True, slots=True)
class Trees:
    """The three trees of a plan."""

    base: Digest | None
    """None: nothing is known to be common."""
    incoming: Digest
    local: Lookup
    read: Read
    """Gives directory objects of all three."""


def plan(trees: Trees) -> list[Operation]:
    """The operations that bring the incoming tree's changes to the folder, in the order to apply them.

    Raises:
        HandoffError: Whatever reading or decoding a directory object raises.
    """
    operations: list[Operation] = []
    units: dict[Path, None] = {}
    for change in diff(trees.base, trees.incoming, trees.read):
        unit = unit_of(change)
        if unit is not None:
            units[unit] = None
        else:
            operations.extend(_operations(change, trees))
    operations.extend(operation for path in units for operation in _exchange(path, trees))
    return operations


def plan_merge(trees: Trees) -> list[Operation]:
    """The operations that bring a fork's changes to its original, replacing and removing nothing.

    Args:
        trees: The base is the state at which the fork left; None makes every file of it a change.

    Raises:
        HandoffError: Whatever reading or decoding a directory object raises.
    """
    operations: list[Operation] = []
    units: dict[Path, None] = {}
    for change in diff(trees.base, trees.incoming, trees.read):
        unit = unit_of(change)
        if unit is not None:
            units[unit] = None
        elif change.new is not None:
            operations.extend(_addition(change.path, change.old, change.new, trees.local(change.path)))
    for path in units:
        old, new = (lookup(root, path, trees.read) for root in (trees.base, trees.incoming))
        now = trees.local(path)
        if new is not None and not any(same_unit(other, new, trees.read) for other in (old, now)):
            operations.append(Operation(Step.ADD, path, None, new))
    return operations


def _addition(path: Path, old: Entry | None, new: Entry, now: Entry | None) -> Iterator[Operation]:
    if new.kind is EntryKind.DIRECTORY:
        if now is None:
            yield Operation(Step.MAKE_DIRECTORY, path, None, new)
    elif not same_bytes(old, new) and not same_bytes(now, new):
        yield Operation(Step.ADD, path, None, new)


def unit_of(change: Change) -> Path | None:
    """The repository that a change lies in; a ``.git`` that is a file (a worktree's) is a file like others."""
    entry = change.new or change.old
    inner = change.path if entry is not None and entry.kind is EntryKind.DIRECTORY else change.path[:-1]
    return change.path[: inner.index(GIT) + 1] if GIT in inner else None


def same_bytes(one: Entry | None, other: Entry | None) -> bool:
    """True for equal files or symlinks, whatever their time and execute bit."""
    if one is None or other is None or one.kind is not other.kind or one.kind is EntryKind.DIRECTORY:
        return False
    if one.content is None or other.content is None:
        return one.target == other.target
    return one.content.ref == other.content.ref


def same_unit(one: Entry | None, other: Entry | None, read: Read) -> bool:
    """True for directories whose files are equal in bytes and execute bits; times may differ."""
    if one is None or other is None or one.content is None or other.content is None:
        return one is other
    if one.kind is not EntryKind.DIRECTORY or other.kind is not EntryKind.DIRECTORY:
        return False
    return all(_differs_in_time_only(change) for change in diff(one.content.ref, other.content.ref, read))


def lookup(root: Digest | None, path: Path, read: Read) -> Entry | None:
    """The entry at a path of a tree, or None."""
    entry: Entry | None = None
    for name in path:
        if root is None:
            return None
        entry = next((found for found in decode_directory(read(root)) if found.name == name), None)
        is_directory = entry is not None and entry.kind is EntryKind.DIRECTORY and entry.content is not None
        root = entry.content.ref if is_directory and entry is not None and entry.content is not None else None
    return entry


def _differs_in_time_only(change: Change) -> bool:
    old, new = change.old, change.new
    if old is None or new is None:
        return False
    return same_bytes(old, new) and old.executable == new.executable


def _operations(change: Change, trees: Trees) -> Iterable[Operation]:
    now = trees.local(change.path)
    match change:
        case Change(path, Entry(kind=EntryKind.DIRECTORY) as old, None):
            return () if now is None else (Operation(Step.REMOVE_DIRECTORY, path, old),)
        case Change(path, Entry() as old, None):
            return (Operation(Step.REMOVE, path, old),) if same_bytes(now, old) else ()
        case Change(path, _, Entry(kind=EntryKind.DIRECTORY) as new):
            there = now is not None and now.kind is EntryKind.DIRECTORY
            return () if there else (Operation(Step.MAKE_DIRECTORY, path, None, new),)
        case Change(path, old, Entry() as new):
            return _arrival(path, old, new, now)
        case _:
            return ()


def _arrival(path: Path, old: Entry | None, new: Entry, now: Entry | None) -> Iterator[Operation]:
    new = _with_local_execute_bit(old, new, now)
    if same_bytes(now, new):
        if now != new and new.kind is EntryKind.FILE:
            yield Operation(Step.TOUCH, path, old, new)
    elif not same_bytes(old, new):
        yield Operation(Step.PLACE, path, old, new)
    # Else only time or execute bit came in, for bytes that this device changed or removed: its version stands.


def _with_local_execute_bit(old: Entry | None, new: Entry, now: Entry | None) -> Entry:
    """The execute bit merges three ways: a change on this device survives unless the incoming one changed it too."""
    if old is None or now is None or now.kind is not EntryKind.FILE or new.executable != old.executable:
        return new
    return replace(new, executable=now.executable) if new.kind is EntryKind.FILE else new


def _exchange(path: Path, trees: Trees) -> Iterator[Operation]:
    old, new = (lookup(root, path, trees.read) for root in (trees.base, trees.incoming))
    now = trees.local(path)
    if new is None or new.kind is not EntryKind.DIRECTORY:
        if now is not None and same_unit(old, now, trees.read):
            yield Operation(Step.EXCHANGE_UNIT, path, old, None)
    elif not same_unit(now, new, trees.read):
        yield Operation(Step.EXCHANGE_UNIT, path, old, new)
