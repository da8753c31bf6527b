# SPDX-License-Identifier: Apache-2.0
"""Objects that describe content: directories and indexes, named by their digest. Layer: content, pure.

Specification: docs/specs/content.md §2-4. A file's bytes are cut into chunks. A file of one chunk is named by
that chunk; a longer one by an index object that lists chunks, or indexes of a lower level, in order. A
directory object lists its entries sorted by name. Only the bytes of an object are ever hashed: two objects
are equal when their bytes are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from p2p_handoff.content import strict_cbor, wellformed
from p2p_handoff.content.digests import Digest, digest, verify
from p2p_handoff.errors import IntegrityError, PathError, RemoteProtocolError
from p2p_handoff.limits import CHUNK_MIN, INDEX_FANOUT, MAX_OBJECT, MAX_OBJECT_ITEMS

Read = Callable[[Digest], bytes]
"""Gives the object that a digest names."""


class EntryKind(IntEnum):
    """What a directory entry is."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2


@dataclass(frozen=True, slots=True)
class Content:
    """A run of bytes of any length, named by digest."""

    ref: Digest
    """Digest of the only chunk (level 0) or of the top index object (level 1 and more)."""
    size: int
    """Length of the bytes it stands for."""
    level: int
    """0: ``ref`` is the chunk itself. n > 0: an index whose children have level n - 1."""
    ref_size: int
    """Length of the object that ``ref`` names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory."""

    name: bytes
    """One path component as the source's file system has it."""
    kind: EntryKind
    executable: bool = False
    """Files only: the owner's execute bit."""
    mtime_ns: int = 0
    """Files only: modification time in nanoseconds since 1970, held to 64 bits where it is written."""
    content: Content | None = None
    """Files: their bytes. Directories: their object as a level 0 content. Symlinks: None."""
    target: bytes = b""
    """Symlinks only: where they point, never followed."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A reference to a leaf."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Child:
    """One reference in an index."""

    ref: Digest
    content_size: int
    """Bytes of content below it."""
    object_size: int
    """Bytes of the object that ``ref`` names: the content itself below a level 1 index."""


@dataclass(frozen=True, slots=True)
class Index:
    """A decoded index object."""

    level: int
    """1: the children are chunks. n > 1: the children are indexes of level n - 1."""
    children: tuple[Child, ...]


EMPTY: Final = Content(ref=digest(b""), size=0, level=0, ref_size=0)
"""No bytes at all. Nobody ever needs to transfer it."""

_DIRECTORY: Final = "dir/1"
_INDEX: Final = "idx/1"
_SHORT_CHUNK: Final = f"a chunk other than the last has less than {CHUNK_MIN} bytes"
_MIN_GROUP: Final = INDEX_FANOUT // 4
_KIND_OF_ROW: Final[dict[tuple[type, ...], EntryKind]] = {
    (bytes, int, bool, int, bytes, int, int, int): EntryKind.FILE,
    (bytes, int, bytes, int): EntryKind.DIRECTORY,
    (bytes, int, bytes): EntryKind.SYMLINK,
}


def encode_directory(entries: Iterable[Entry]) -> bytes:
    """The directory object of some entries, in whatever order they come.

    Raises:
        PathError: A duplicate or impossible name, an impossible target, or more entries than an object holds.
        IntegrityError: An entry whose fields contradict its kind.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    wellformed.check_names([entry.name for entry in ordered])
    data = strict_cbor.encode([_DIRECTORY, [_entry_fields(entry) for entry in ordered]])
    if len(data) > MAX_OBJECT:
        raise PathError(f"a directory of {len(ordered)} entries is too large to hand off")
    return data


def decode_directory(data: bytes) -> tuple[Entry, ...]:
    """The entries of a directory object, sorted by name.

    Raises:
        IntegrityError: The bytes are not a directory object in its only encoding.
        PathError: A duplicate or impossible name, or an impossible target.
    """
    match _decode(data):
        case [str(label), list(rows)] if label == _DIRECTORY:
            entries = tuple(_entry(row) for row in rows)
        case _:
            raise IntegrityError("an object is not a directory")
    wellformed.check_names([entry.name for entry in entries])
    return entries


def encode_index(level: int, children: Sequence[tuple[Digest, int, int]]) -> bytes:
    """The index object of some children.

    Args:
        level: 1 when the children are chunks, n when they are indexes of level n - 1.
        children: (digest, bytes of content, bytes of the object), in order.

    Raises:
        IntegrityError: The children contradict the level, or are none or too many.
    """
    rows = [list(child) for child in children]
    wellformed.check_index(level, rows)
    return strict_cbor.encode([_INDEX, level, rows])


def decode_index(data: bytes) -> Index:
    """The children of an index object.

    Raises:
        IntegrityError: The bytes are not an index object in its only encoding.
    """
    match _decode(data):
        case [str(label), int(level), list(rows)] if label == _INDEX:
            wellformed.check_index(level, rows)
            return Index(level, tuple(Child(*row) for row in rows))
        case _:
            raise IntegrityError("an object is not an index")


def check_content(content: Content) -> None:
    """Check a reference that came from outside, before anything is allocated for it.

    Raises:
        IntegrityError: Its fields contradict each other or a bound.
    """
    wellformed.check_reference(content.ref, content.size, content.level, content.ref_size)


def build_content(chunks: Sequence[tuple[Digest, int]]) -> tuple[Content, dict[Digest, bytes]]:
    """Name the content that some chunks form.

    Args:
        chunks: (digest, bytes) of each chunk, in order, as ``chunking.cut`` divides it.

    Returns:
        The content, and the index objects it needs by digest: none for less than two chunks.

    Raises:
        IntegrityError: A chunk's size is beyond its bounds.
    """
    if any(size < CHUNK_MIN for _, size in chunks[:-1]):
        raise IntegrityError(_SHORT_CHUNK)
    objects: dict[Digest, bytes] = {}
    nodes = [Child(ref, size, size) for ref, size in chunks]
    level = 0
    while len(nodes) > 1:
        level += 1
        nodes = [_index_node(level, group, objects) for group in _groups(nodes)]
    if not nodes:
        return EMPTY, objects
    top = nodes[0]
    content = Content(top.ref, top.content_size, level, top.object_size)
    check_content(content)
    return content, objects


def chunks_of(content: Content, read: Read) -> Iterator[tuple[Digest, int, int]]:
    """The chunks of a content, through its index objects.

    Args:
        content: What to walk.
        read: Gives an index object by digest. Chunks are not read.

    Yields:
        (digest, offset, length) in order; lengths add up to the content's size.

    Raises:
        IntegrityError: An index is not what its parent says. Whatever ``read`` raises passes through.
    """
    check_content(content)
    if content.size == 0:
        return
    offset = 0
    pending = [(content.level, Child(content.ref, content.size, content.ref_size))]
    while pending:
        level, node = pending.pop()
        if level == 0:
            # Otherwise one small object, nested, could stand for endless chunks of one byte.
            if node.content_size < CHUNK_MIN and offset + node.content_size != content.size:
                raise IntegrityError(_SHORT_CHUNK)
            yield node.ref, offset, node.content_size
            offset += node.content_size
        else:
            children = _read_index(node, level, read).children
            pending.extend((level - 1, child) for child in reversed(children))


def _decode(data: bytes) -> object:
    try:
        return strict_cbor.decode(data, limit=MAX_OBJECT, items=MAX_OBJECT_ITEMS)
    except RemoteProtocolError as error:
        raise IntegrityError(f"an object is malformed: {error.what}") from error


def _entry_fields(entry: Entry) -> list[object]:
    _check_entry(entry)
    content = entry.content
    if content is None:
        detail: list[object] = [entry.target]
    elif entry.kind is EntryKind.DIRECTORY:
        detail = [content.ref, content.size]
    else:
        # File systems hold times beyond the year 2262, where 64 bits of nanoseconds end.
        mtime_ns = min(max(entry.mtime_ns, strict_cbor.INT_MIN), strict_cbor.INT_MAX)
        detail = [entry.executable, mtime_ns, content.ref, content.size, content.level, content.ref_size]
    return [entry.name, int(entry.kind), *detail]


def _entry(row: Any) -> Entry:
    kind = _KIND_OF_ROW.get(tuple(map(type, row))) if type(row) is list else None
    if kind is None or row[1] != kind:
        raise IntegrityError("an entry of a directory is malformed")
    name, _, *detail = row
    match kind:
        case EntryKind.FILE:
            executable, mtime_ns, *content = detail
            ref, size, level, ref_size = content
            entry = Entry(name, kind, executable, mtime_ns, Content(Digest(ref), size, level, ref_size))
        case EntryKind.DIRECTORY:
            ref, size = detail
            entry = Entry(name, kind, content=Content(Digest(ref), size, 0, size))
        case _:
            entry = Entry(name, kind, target=detail[0])
    _check_entry(entry)
    return entry


def _check_entry(entry: Entry) -> None:
    content = entry.content
    if (content is None) != (entry.kind is EntryKind.SYMLINK):
        raise IntegrityError(f"an entry contradicts its kind {entry.kind.name}")
    if content is None:
        wellformed.check_target(entry.target)
    elif entry.kind is EntryKind.FILE:
        check_content(content)
    elif (content.level, content.size) != (0, content.ref_size):
        raise IntegrityError("a directory is always one whole object")
    else:
        wellformed.check_directory_reference(content.ref, content.size)


def _groups(nodes: Sequence[Child]) -> Iterator[Sequence[Child]]:
    """Divide children among indexes where a child's digest says so: an insertion then moves few boundaries."""
    if len(nodes) <= INDEX_FANOUT:
        yield nodes
        return
    start = 0
    for end, node in enumerate(nodes, 1):
        length = end - start
        natural = length >= _MIN_GROUP and int.from_bytes(node.ref[:4], "big") % _MIN_GROUP == 0
        if natural or length == INDEX_FANOUT or end == len(nodes):
            yield nodes[start:end]
            start = end


def _index_node(level: int, group: Sequence[Child], objects: dict[Digest, bytes]) -> Child:
    data = encode_index(level, [(child.ref, child.content_size, child.object_size) for child in group])
    name = digest(data)
    objects[name] = data
    return Child(name, sum(child.content_size for child in group), len(data))


def _read_index(node: Child, level: int, read: Read) -> Index:
    data = read(node.ref)
    verify(node.ref, data)
    index = decode_index(data)
    total = sum(child.content_size for child in index.children)
    if (len(data), index.level, total) != (node.object_size, level, node.content_size):
        raise IntegrityError(f"the index {node.ref.hex()[:16]} is not what its parent says")
    return index
