# SPDX-License-Identifier: Apache-2.0
"""Keeps earlier states of a conversation, so that one of them can come back. Layer: I/O ring, adapters.

Specification: docs/specs/conversation.md §9. A kept state is the file's bytes under their digest, and a row that
describes them under the root that they had. What comes back is a new document of those lines: an update of the
old one merges into it nowhere.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.conversation_log import Log, Update, name_content
from p2p_handoff.adapters.conversation_root import DOCUMENT_ID_BYTES, Root, Text, read_text
from p2p_handoff.adapters.conversation_store import Record, Shelf
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest, verify
from p2p_handoff.errors import ContentGoneError, IntegrityError, NotFoundError, RemoteProtocolError
from p2p_handoff.ids import Entropy
from p2p_handoff.limits import KIB, MAX_CONVERSATION
from p2p_handoff.session.document import EMPTY_STATE, LineDocument, new_client_id, split_lines

_LABEL: Final = "kept-conversation/1"
_MAX_ROW: Final = 4 * KIB
_ATTEMPTS: Final = 5


class ConversationShelf:
    """The kept states of one conversation.

    Args:
        shelf: Their directory; made where it is missing.

    Raises:
        StorageError: It cannot be made.
    """

    def __init__(self, shelf: Path) -> None:
        with beneath.typed_errors(f"use {shelf}"):
            shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened = beneath.open_root(shelf)
        weakref.finalize(self, os.close, opened)
        self._texts = Shelf(opened, b"contents", durable=True)
        self._rows = Shelf(opened, b"trees", durable=True)

    def keep(self, catch_up: Callable[[], Record], path: Path) -> Record:
        """Keep the file as it is now; durable when this returns.

        Args:
            catch_up: Gives the record with everything in it that the file holds.
            path: The file.

        Raises:
            ContentGoneError: It is gone, or changes faster than it can be kept.
            StorageError: The disk is full or failing.
        """
        for _ in range(_ATTEMPTS):
            record = catch_up()
            text = record.log.text
            data = _beginning(path, text.size)
            if digest(data) == text.digest:
                self._texts.write(text.digest, data)
                row = [_LABEL, [text.digest, text.size, text.lines, text.mtime_ns]]
                self._rows.write(record.log.root.name, strict_cbor.encode(row))
                return record
        raise ContentGoneError(f"{path} changes faster than it can be kept")

    def text(self, root: Digest) -> Text:
        """What a kept state renders to.

        Raises:
            NotFoundError: It is not kept.
        """
        try:
            row = strict_cbor.decode(self._rows.read(root, _MAX_ROW), limit=_MAX_ROW)
        except (NotFoundError, RemoteProtocolError) as failure:
            raise NotFoundError("that state of the conversation is not kept any more") from failure
        match row:
            case [str(label), list(text)] if label == _LABEL:
                return read_text(text)
            case _:
                raise NotFoundError("that state of the conversation is not kept any more")

    def open(self, root: Digest, entropy: Entropy) -> RenewedConversation:
        """A kept state as a document of its own.

        Raises:
            NotFoundError: It is not kept.
            ContentGoneError: The shelf is damaged.
        """
        text = self.text(root)
        try:
            data = self._texts.read(text.digest, MAX_CONVERSATION)
            verify(text.digest, data)
        except (NotFoundError, IntegrityError) as failure:
            raise ContentGoneError("a kept state of the conversation is damaged") from failure
        return RenewedConversation(text, data, entropy)

    def prune(self, roots: Iterable[Digest]) -> None:
        """Forget every state but these."""
        kept = [root for root in roots if self._rows.has(root)]
        with beneath.typed_errors("forget an old state of a conversation"):
            texts = [self.text(root).digest for root in kept]
            self._rows.keep_only(kept)
            self._texts.keep_only(texts)


class RenewedConversation:
    """The lines of a file as a new document, in the shape of ``adapters.base.Snapshot``.

    Args:
        text: Describes the file.
        data: Its bytes.
        entropy: Random bytes for the document's id and its writer's.
    """

    def __init__(self, text: Text, data: bytes, entropy: Entropy) -> None:
        document = LineDocument.empty(new_client_id(entropy))
        document.replace_with(split_lines(data))
        self._objects: dict[Digest, bytes] = {}
        updates = self._named(document.update_since(EMPTY_STATE)) if len(document) else ()
        root = Log(entropy(DOCUMENT_ID_BYTES), text, updates).root
        self._root: Root = root
        self._objects[root.name] = root.encoded()

    def _named(self, update: bytes) -> tuple[Update, ...]:
        named = name_content(update)
        offset = 0
        for chunk in named.chunks:
            self._objects[chunk.digest] = update[offset : offset + chunk.size]
            offset += chunk.size
        self._objects |= named.objects
        return (Update(named.content, EMPTY_STATE),)

    @property
    def root(self) -> Digest:
        """Digest of the root object."""
        return self._root.name

    @property
    def root_size(self) -> int:
        """Bytes of the root object."""
        return len(self._objects[self.root])

    @property
    def total_bytes(self) -> int:
        """Bytes of the root and of its update."""
        return self.root_size + sum(content.size for content in self._root.log)

    @property
    def items(self) -> int:
        """Lines, which are messages."""
        return self._root.text.lines

    @property
    def skipped(self) -> tuple[bytes, ...]:
        """Nothing."""
        return ()

    def read(self, digest: Digest) -> bytes:
        """The object named by a digest.

        Raises:
            NotFoundError: No such object in this state.
        """
        if digest not in self._objects:
            raise NotFoundError(f"the conversation has no object {digest.hex()[:16]}")
        return self._objects[digest]

    def reading(self) -> AbstractContextManager[None]:
        """Nothing stays open."""
        return nullcontext()


def _beginning(path: Path, size: int) -> bytes:
    """The first bytes of a file: whoever appends to it meanwhile changes nothing about them."""
    try:
        with path.open("rb") as opened:
            return opened.read(size)
    except FileNotFoundError as error:
        raise ContentGoneError(f"{path} is gone") from error
    except OSError as error:
        raise beneath.typed(error, f"read {path}") from error
