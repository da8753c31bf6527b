# SPDX-License-Identifier: Apache-2.0
"""One picture of a conversation, served object by object from its log. Layer: I/O ring, adapters.

Specification: docs/specs/conversation.md §3. Nothing is cut or hashed until somebody asks for more than the
root: a snapshot of an unchanged conversation costs a stat.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from p2p_handoff.adapters.base import Piece
from p2p_handoff.adapters.conversation_log import NamedContent, name_content
from p2p_handoff.adapters.conversation_root import Root
from p2p_handoff.adapters.conversation_store import Shelf
from p2p_handoff.content.digests import Digest, digest, verify
from p2p_handoff.content.objects import Content
from p2p_handoff.errors import ContentGoneError, IntegrityError, LocalProtocolError, NotFoundError
from p2p_handoff.limits import MAX_CRDT_UPDATE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk lies: in which update, from which byte, how many."""

    update: Digest
    offset: int
    length: int


class ContentTable:
    """Which chunks and index objects some updates consist of; filled when first asked, safe in any thread.

    Args:
        shelf: Holds the updates.
        contents: The updates.
    """

    def __init__(self, shelf: Shelf, contents: Sequence[Content]) -> None:
        self._shelf = shelf
        self._pending = list(contents)
        self._places: dict[Digest, Place] = {}
        self._objects: dict[Digest, bytes] = {}
        self._lock = threading.Lock()

    def find(self, name: Digest) -> bytes | None:
        """The object of that name, verified; None where it is no part of these updates.

        Raises:
            ContentGoneError: The update that holds it was replaced, which ends its snapshot.
        """
        with self._lock:
            while name not in self._places and name not in self._objects and self._pending:
                self._open(self._pending.pop())
            place = self._places.get(name)
        if place is None:
            return self._objects.get(name)
        try:
            data = self._shelf.read_part(place.update, place.offset, place.length)
            verify(name, data)
        except (OSError, IntegrityError) as failure:
            raise ContentGoneError("an update of the conversation was replaced while it was read") from failure
        return data

    def _open(self, content: Content) -> None:
        try:
            named: NamedContent = name_content(self._shelf.read(content.ref, MAX_CRDT_UPDATE))
        except NotFoundError as failure:
            raise ContentGoneError("an update of the conversation was replaced while it was read") from failure
        offset = 0
        for chunk in named.chunks:
            self._places[chunk.digest] = Place(content.ref, offset, chunk.size)
            offset += chunk.size
        self._objects |= named.objects


class ConversationSnapshot:
    """A conversation at one moment.

    Args:
        root: What its root object says.
        shelf: Holds the updates.
    """

    def __init__(self, root: Root, shelf: Shelf) -> None:
        self._data = root.encoded()
        self._root = root
        self._name = digest(self._data)
        self._table = ContentTable(shelf, root.log)

    @property
    def root(self) -> Digest:
        """Digest of the root object."""
        return self._name

    @property
    def root_size(self) -> int:
        """Bytes of the root object."""
        return len(self._data)

    @property
    def total_bytes(self) -> int:
        """Bytes of the root and of all updates."""
        return len(self._data) + sum(content.size for content in self._root.log)

    @property
    def items(self) -> int:
        """Lines, which are messages."""
        return self._root.text.lines

    @property
    def skipped(self) -> tuple[bytes, ...]:
        """Nothing."""
        return ()

    def pieces(self) -> Iterable[Piece]:
        """The updates: lines lie in them as they are, also those that were deleted and not dropped yet."""
        return (Piece(b"", content) for content in self._root.log)

    def without(self, paths: Collection[bytes]) -> ConversationSnapshot:
        """The same picture: a conversation is one piece.

        Raises:
            LocalProtocolError: Something was to be left out.
        """
        if paths:
            raise LocalProtocolError("a conversation leaves as a whole, or not at all")
        return self

    def read(self, digest: Digest) -> bytes:
        """The object named by a digest, verified.

        Raises:
            ContentGoneError: A later snapshot merged the update that held it.
            NotFoundError: No such object in this snapshot.
        """
        data = self._data if digest == self._name else self._table.find(digest)
        if data is None:
            raise NotFoundError(f"the conversation has no object {digest.hex()[:16]}")
        return data

    def reading(self) -> AbstractContextManager[None]:
        """Nothing stays open."""
        return nullcontext()
