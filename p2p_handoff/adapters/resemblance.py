# SPDX-License-Identifier: Apache-2.0
"""Finds what the last common state has in the place of an object that arrives. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §7, docs/specs/content.md §6. A directory resembles the one at its path; a chunk
or an index of a long file what the common state of that file has between the neighbours that both versions share.
Files that were edited here since are passed over: nothing but the common state is ever described to the peer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from p2p_handoff.adapters.folder_snapshot import FolderSnapshot
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, Read, decode_directory, decode_index
from p2p_handoff.errors import ContentGoneError, NotFoundError

_MAX_DIRECTORIES: Final = 1_000
"""That differ and are looked at: who wants few objects has few of them."""
_NEIGHBOURS: Final = 3
"""Chunks or indexes that are taken for one: an edit moves its content by one to either side at most."""
_Alike = tuple[Digest, Sequence[Digest]]
"""An object of the incoming state, and those of the common one, in order, that together resemble it."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The two states of a folder that are compared."""

    common: Digest
    """Root of the last common state."""
    incoming: Digest
    read: Read
    """Gives directory and index objects of both, as far as they are here."""
    local: FolderSnapshot
    """The folder as it is now."""


def resembling(names: Collection[Digest], versions: Versions) -> Iterator[tuple[Digest, bytes]]:
    """What the common state has that resembles some objects of the incoming one.

    Args:
        names: Of the objects; directories, indexes or contents.
        versions: What is compared.

    Yields:
        An object's digest, and the bytes that resemble it: read as they are asked for.
    """
    wanted = set(names)
    for name, alike in _of_trees(versions):
        if not wanted:
            return
        if name in wanted:
            wanted.remove(name)
            if data := _joined(alike, versions):
                yield name, data


def _joined(names: Sequence[Digest], versions: Versions) -> bytes:
    try:
        return b"".join(_object(name, versions) for name in names)
    except (ContentGoneError, NotFoundError):
        return b""


def _object(name: Digest, versions: Versions) -> bytes:
    try:
        return versions.read(name)
    except NotFoundError:
        return versions.local.read(name)


def _of_trees(versions: Versions) -> Iterator[_Alike]:
    pending: list[tuple[bytes, Digest, Digest]] = [(b"", versions.common, versions.incoming)]
    for _ in range(_MAX_DIRECTORIES):
        if not pending:
            return
        path, old, new = pending.pop()
        yield new, (old,)
        for before, after in _changed(old, new, versions.read):
            assert before.content is not None
            assert after.content is not None
            place = path + after.name
            if after.kind is EntryKind.DIRECTORY:
                pending.append((place + b"/", before.content.ref, after.content.ref))
            elif _is_still(place, before.content, versions.local):
                yield from _of_contents(before.content, after.content, versions.read)


def _changed(old: Digest, new: Digest, read: Read) -> Iterator[tuple[Entry, Entry]]:
    """Files and directories that both directories have, with other content; nothing while the new one is not here."""
    try:
        entries = decode_directory(read(new))
    except NotFoundError:
        return
    known = {entry.name: entry for entry in decode_directory(read(old))}
    for after in entries:
        before = known.get(after.name)
        if before is None or before.kind is not after.kind or before.content is None or after.content is None:
            continue
        if before.content.ref != after.content.ref:
            yield before, after


def _is_still(path: bytes, content: Content, local: FolderSnapshot) -> bool:
    record = local.scan.records.get(path)
    return record is not None and record.content == content


def _of_contents(old: Content, new: Content, read: Read) -> Iterator[_Alike]:
    """Compare two versions of a file from the level on that both have."""
    olds: Sequence[Digest] = [old.ref]
    news: Sequence[Digest] = [new.ref]
    for _ in range(old.level - new.level):
        olds = _children(olds, read)
    for _ in range(new.level - old.level):
        news = _children(news, read)
    yield from _of_lists(min(old.level, new.level), olds, news, read)


def _of_lists(level: int, olds: Sequence[Digest], news: Sequence[Digest], read: Read) -> Iterator[_Alike]:
    for gap, run in _gaps(olds, news):
        for place, name in enumerate(run):
            yield name, _nearest(gap, place, len(run))
        if level:
            yield from _of_lists(level - 1, _children(gap, read), _children(run, read), read)


def _gaps(olds: Sequence[Digest], news: Sequence[Digest]) -> Iterator[tuple[Sequence[Digest], Sequence[Digest]]]:
    """The runs of new ones between those that both lists have once, each behind the old ones in its place."""
    counts = Counter(olds)
    places = {name: place for place, name in enumerate(olds) if counts[name] == 1}
    start, run = 0, list[Digest]()
    for name in news:
        place = places.get(name)
        if place is not None and place >= start:
            if run:
                yield olds[start:place], run
            start, run = place + 1, []
        elif name not in counts:
            run.append(name)
    if run:
        yield olds[start:], run


def _nearest(gap: Sequence[Digest], place: int, of: int) -> Sequence[Digest]:
    """Of the old ones in the place of a run those that lie where one of the run does."""
    middle = place * len(gap) // of
    first = max(0, min(middle - _NEIGHBOURS // 2, len(gap) - _NEIGHBOURS))
    return gap[first : first + _NEIGHBOURS]


def _children(indexes: Sequence[Digest], read: Read) -> Sequence[Digest]:
    """What some indexes name, in order; nothing for those that are not here."""
    found: list[Digest] = []
    for name in indexes:
        try:
            index = decode_index(read(name))
        except NotFoundError:
            continue
        found.extend(child.ref for child in index.children)
    return found
