# SPDX-License-Identifier: Apache-2.0
"""A tree's directory objects in one file: how a part remembers a state it shared. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §5. ``base`` is the last state that this device and another had in common;
``frozen`` is the last picture before a grant, which becomes the base when the handoff is accepted; ``parent`` is,
in a fork, the state at which it left its original. A damaged pack counts as absent: without a base everything on
disk is this device's own, and nothing gets lost.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.content.digests import DIGEST_BYTES, Digest, digest
from p2p_handoff.content.objects import EntryKind, Read, decode_directory
from p2p_handoff.errors import HandoffError
from p2p_handoff.limits import GIB

BASE: Final = b"base"
FROZEN: Final = b"frozen"
PARENT: Final = b"parent"
MAX_PACK: Final = GIB
"""Bytes of a pack that are read: directory objects of some ten million files."""
_MAGIC: Final = b"p2phTP01"
_LENGTH: Final = struct.Struct("<I")
_HEADER_BYTES: Final = len(_MAGIC) + 2 * DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class TreePack:
    """Every directory object below a root."""

    root: Digest
    objects: Mapping[Digest, bytes]


def collect(root: Digest, read: Read) -> TreePack:
    """Gather the directory objects of a tree, each once.

    Args:
        root: Digest of its directory object.
        read: Gives a directory object by digest.

    Raises:
        HandoffError: Whatever ``read`` raises, or what a malformed object causes.
    """
    objects: dict[Digest, bytes] = {}
    pending = [root]
    while pending:
        name = pending.pop()
        if name not in objects:
            objects[name] = data = read(name)
            pending.extend(subtrees(data))
    return TreePack(root, objects)


def subtrees(directory: bytes) -> Iterator[Digest]:
    """The directories that a directory object names."""
    for entry in decode_directory(directory):
        if entry.kind is EntryKind.DIRECTORY and entry.content is not None:
            yield entry.content.ref


def encode(pack: TreePack) -> bytes:
    """The file's bytes: magic, checksum of the rest, root, then each object behind its length."""
    body = b"".join(_LENGTH.pack(len(data)) + data for data in pack.objects.values())
    return _MAGIC + digest(pack.root + body) + pack.root + body


def decode(data: bytes) -> TreePack | None:
    """The pack in a file's bytes; None when they are damaged."""
    checksum, rest = data[len(_MAGIC) : len(_MAGIC) + DIGEST_BYTES], data[len(_MAGIC) + DIGEST_BYTES :]
    if not data.startswith(_MAGIC) or len(data) < _HEADER_BYTES or digest(rest) != checksum:
        return None
    root = Digest(rest[:DIGEST_BYTES])
    return TreePack(root, {digest(item): item for item in _items(rest[DIGEST_BYTES:])})


def _items(body: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(body):
        (length,) = _LENGTH.unpack_from(body, offset)
        offset += _LENGTH.size
        yield body[offset : offset + length]
        offset += length


def load(state: int, name: bytes) -> TreePack | None:
    """A pack of a part's state directory; None when there is no usable one.

    Args:
        state: Descriptor of the state directory.
        name: ``BASE``, ``FROZEN`` or ``PARENT``.
    """
    try:
        return decode(beneath.read_whole(state, name, MAX_PACK))
    except HandoffError:
        return None


def save(state: int, name: bytes, data: bytes, *, sync: bool) -> None:
    """Replace a pack by its encoded bytes."""
    beneath.write_atomically(state, name, data, sync=sync)


def promote(state: int) -> None:
    """Make the frozen pack the base; durable when this returns."""
    with beneath.file(state, (FROZEN,)) as opened:
        os.fsync(opened)  # first: a power cut must not leave a damaged base where there was a whole one
    os.rename(FROZEN, BASE, src_dir_fd=state, dst_dir_fd=state)
    os.fsync(state)
