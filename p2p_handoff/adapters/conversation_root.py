# SPDX-License-Identifier: Apache-2.0
"""The root object of a conversation: its document's id, what it renders to, and its log of updates.

Layer: I/O ring, adapters; this module is pure. Specification: docs/specs/conversation.md §3. A log lists CRDT
updates by content, oldest first; applied in that order to an empty document they render the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import DIGEST_BYTES, Digest, digest
from p2p_handoff.content.objects import Content
from p2p_handoff.errors import IntegrityError, RemoteProtocolError
from p2p_handoff.limits import (
    CHUNK_MAX,
    MAX_CONVERSATION,
    MAX_CONVERSATION_LOG,
    MAX_CRDT_UPDATE,
    MAX_INDEX_LEVEL,
    MAX_OBJECT,
)

_LABEL: Final = "conversation/1"
DOCUMENT_ID_BYTES: Final = 16
_MAX_ROOT: Final = 64 * 1024
"""Sixty-four log entries of fifty bytes fit many times over."""


@dataclass(frozen=True, slots=True)
class Text:
    """The file that a log renders to."""

    digest: Digest
    size: int
    """Bytes."""
    lines: int
    mtime_ns: int
    """Modification time when these bytes were first seen, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Root:
    """A conversation at one moment."""

    document: bytes
    """Random id; documents with different ids are never merged."""
    text: Text
    log: tuple[Content, ...]

    def encoded(self) -> bytes:
        """The root object."""
        text = self.text
        shown = [text.digest, text.size, text.lines, text.mtime_ns]
        return strict_cbor.encode([_LABEL, self.document, shown, [content_row(content) for content in self.log]])

    @property
    def name(self) -> Digest:
        """The root's digest."""
        return digest(self.encoded())


def content_row(content: Content) -> list[object]:
    """How a content is written in a root."""
    return [content.ref, content.size, content.level, content.ref_size]


def decode_root(data: bytes) -> Root:
    """Read a root object.

    Raises:
        IntegrityError: The bytes are not a root object in its only encoding, or exceed a bound.
    """
    try:
        value = strict_cbor.decode(data, limit=_MAX_ROOT)
    except RemoteProtocolError as failure:
        raise IntegrityError(f"a conversation's root is malformed: {failure.what}") from failure
    match value:
        case [str(label), bytes(document), list(text), list(log)] if label == _LABEL:
            root = Root(document, read_text(text), tuple(read_content(row) for row in log))
        case _:
            raise IntegrityError("an object is not the root of a conversation")
    if len(document) != DOCUMENT_ID_BYTES or len(log) > MAX_CONVERSATION_LOG:
        raise IntegrityError("a conversation's root exceeds its bounds")
    if sum(content.size for content in root.log) > 2 * MAX_CRDT_UPDATE:
        raise IntegrityError("a conversation's log is too large")
    return root


def read_text(row: Any) -> Text:
    """Read what a root says about the file.

    Raises:
        IntegrityError: It is malformed or larger than MAX_CONVERSATION.
    """
    if not _shaped(row, (bytes, int, int, int)):
        raise IntegrityError("a conversation's text is malformed")
    name, size, lines, mtime_ns = row
    if len(name) != DIGEST_BYTES or not 0 <= lines <= size <= MAX_CONVERSATION:
        raise IntegrityError("a conversation's text exceeds its bounds")
    return Text(Digest(name), size, lines, mtime_ns)


def read_content(row: Any) -> Content:
    """Read one entry of a log.

    Raises:
        IntegrityError: It is malformed or larger than MAX_CRDT_UPDATE.
    """
    if not _shaped(row, (bytes, int, int, int)):
        raise IntegrityError("an entry of a conversation's log is malformed")
    ref, size, level, ref_size = row
    whole = level == 0 and size == ref_size <= CHUNK_MAX
    indexed = 0 < level <= MAX_INDEX_LEVEL and 0 < ref_size <= MAX_OBJECT
    if len(ref) != DIGEST_BYTES or not 0 < size <= MAX_CRDT_UPDATE or not (whole or indexed):
        raise IntegrityError("an entry of a conversation's log exceeds its bounds")
    return Content(Digest(ref), size, level, ref_size)


def _shaped(row: Any, types: tuple[type, ...]) -> bool:
    return type(row) is list and tuple(type(field) for field in row) == types
