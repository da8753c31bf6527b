# SPDX-License-Identifier: Apache-2.0
"""The append-only log of a conversation: CRDT updates, merged by size so that few are ever resent.

Layer: I/O ring, adapters; this module is pure but for what its callers read for it. Specification:
docs/specs/conversation.md §4. Updates fall into tiers by size, each four times the one below; when four updates
of the newest one's tier or below stand at the end, they become one. A line costs a handful of rewrites in its
life, large old updates almost none, and a log has about three updates per tier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from p2p_handoff.adapters.conversation_root import Root, Text
from p2p_handoff.content.chunking import cut
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Chunk, Content, build_content
from p2p_handoff.errors import IntegrityError
from p2p_handoff.session.document import EMPTY_STATE, LineDocument

_SMALLEST_TIER_BITS: Final = 9
"""Updates below 512 bytes, a line or two, are one tier."""
_TIER_BITS: Final = 2
_RUN: Final = 4
_SLACK: Final = 64 * 1024
"""Bytes of deleted history that are not worth a rewrite."""


@dataclass(frozen=True, slots=True)
class Update:
    """One entry of a log."""

    content: Content
    before: bytes
    """State vector of the document just before it: a merged entry is everything since then."""


@dataclass(frozen=True, slots=True)
class Log:
    """A conversation's document as it is stored: its id, its updates, and what they render to."""

    document: bytes
    text: Text
    updates: tuple[Update, ...] = ()

    @property
    def root(self) -> Root:
        """The log as its root object says it."""
        return Root(self.document, self.text, tuple(update.content for update in self.updates))

    def followed_by(self, document: LineDocument, before: bytes, text: Text) -> tuple[Log, bytes]:
        """The log after an edit, with its newest entry's bytes.

        Args:
            document: The document after the edit.
            before: Its state vector before the edit.
            text: What it renders to now.

        Returns:
            The new log and the bytes of its last update: the edit alone, or merged with the entries before it.
        """
        newest = document.update_since(before)
        sizes = [*(update.content.size for update in self.updates), len(newest)]
        start = first_to_merge(sizes, text.size)
        if start < len(self.updates):
            before = self.updates[start].before
            newest = document.update_since(before)
        entry = Update(name_content(newest).content, before)
        return replace(self, text=text, updates=(*self.updates[:start], entry)), newest


def first_to_merge(sizes: Sequence[int], text_size: int) -> int:
    """Where the run begins that becomes one with the newest update.

    Args:
        sizes: Bytes of every update, the newest last.
        text_size: Bytes of the file they render to.

    Returns:
        The last index where nothing is to be merged; 0 where the log holds mostly deleted lines.
    """
    if sum(sizes) > 2 * max(text_size, sizes[0]) + _SLACK:
        return 0
    start = len(sizes) - 1
    while True:
        highest = _tier(sum(sizes[start:]))
        run = start
        while run and _tier(sizes[run - 1]) <= highest:
            run -= 1
        if start - run + 1 < _RUN:
            return start
        start = run


def _tier(size: int) -> int:
    return max(0, size.bit_length() - _SMALLEST_TIER_BITS) // _TIER_BITS


@dataclass(frozen=True, slots=True)
class NamedContent:
    """A content with everything a sender needs to serve it."""

    content: Content
    chunks: tuple[Chunk, ...]
    objects: dict[Digest, bytes]
    """Its index objects."""


def name_content(data: bytes) -> NamedContent:
    """Cut bytes and name what they form."""
    view = memoryview(data)
    chunks = tuple(Chunk(digest(view[offset : offset + length]), length) for offset, length in cut(data))
    content, objects = build_content([(chunk.digest, chunk.size) for chunk in chunks])
    return NamedContent(content, chunks, objects)


def replay(
    log: Sequence[Content], read: Callable[[Content], bytes], client_id: int
) -> tuple[LineDocument, list[Update]]:
    """Apply a log to an empty document: the only place where a peer's updates are applied.

    Args:
        log: The updates, oldest first.
        read: Gives an update's bytes.
        client_id: The document's client id; any, where it will not be edited.

    Returns:
        The document, and the log's entries with their state vectors.

    Raises:
        IntegrityError: An update cannot be applied. Whatever ``read`` raises passes through.
    """
    document = LineDocument.empty(client_id)
    updates: list[Update] = []
    before = EMPTY_STATE
    for content in log:
        data = read(content)
        if len(data) != content.size:
            raise IntegrityError("an update of a conversation has another size than its log says")
        document.apply(data)
        updates.append(Update(content, before))
        before = document.state_vector()
    return document, updates


def text_of(document: LineDocument, mtime_ns: int) -> tuple[Text, bytes]:
    """What a document renders to, described and as bytes."""
    data = document.render()
    return Text(digest(data), len(data), len(document), mtime_ns), data
