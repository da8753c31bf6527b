# SPDX-License-Identifier: Apache-2.0
"""Keeps a conversation's log abreast of its file. Layer: I/O ring, adapters.

Specification: docs/specs/conversation.md §4-6. Client ids: one per follower, kept only while the record on disk is
the one this follower wrote. After anything else (an update placed, a restored home, a failed write) the document
is loaded anew under a fresh id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from p2p_handoff.adapters.conversation_log import Log, replay
from p2p_handoff.adapters.conversation_reader import Reading, Sighting, look
from p2p_handoff.adapters.conversation_root import DOCUMENT_ID_BYTES, Text
from p2p_handoff.adapters.conversation_store import ConversationStore, Record
from p2p_handoff.content.digests import digest
from p2p_handoff.ids import Entropy
from p2p_handoff.limits import MIB
from p2p_handoff.session.document import LineDocument, new_client_id, split_lines

GENERATION_BYTES: Final = 16
_KEPT_IN_MEMORY: Final = 16 * MIB
"""Text up to which the document stays loaded between snapshots; a larger one is loaded again for each change."""
_NOTHING: Final = Text(digest(b""), 0, 0, 0)


class Follower:
    """Turns changes of a file into updates of its log.

    Args:
        path: The file.
        store: Its log.
        entropy: Random bytes for document and client ids.
    """

    def __init__(self, path: Path, store: ConversationStore, entropy: Entropy) -> None:
        self._path = path
        self._store = store
        self._entropy = entropy
        self._generation = b""
        self._client_id = new_client_id(entropy)
        self._document: LineDocument | None = None
        self._sighting: Sighting | None = None

    def catch_up(self, *, thorough: bool) -> Record:
        """The record with everything in it that the file holds now.

        Args:
            thorough: Compare every byte of the file, however large.

        Raises:
            ContentGoneError, UsageError, PathError, StorageError: As ``look`` does.
        """
        record = self._store.load()
        if record is None or record.generation != self._generation:
            self._meet(record)
        reading = look(self._path, self._sighting, thorough=thorough)
        if record is None or reading.sighting.text != record.log.text.digest:
            record = self._take(record, reading)
        self._sighting = reading.sighting
        return record

    def renew(self) -> Record:
        """Begin a new document that holds the file as it is now: no update of the old one will ever merge into it.

        Raises:
            ContentGoneError, UsageError, PathError, StorageError: As ``catch_up`` does.
        """
        record = self.catch_up(thorough=True)
        self._meet(None)
        reading = look(self._path, None, thorough=True)
        renewed = self._take(None, reading, common=record)
        self._sighting = reading.sighting
        return renewed

    def _meet(self, record: Record | None) -> None:
        """Forget what belonged to another record."""
        self._client_id = new_client_id(self._entropy)
        self._document = None
        self._generation = record.generation if record else b""
        text = record.log.text if record else None
        self._sighting = Sighting(text.size, text.digest) if text else None

    def _take(self, record: Record | None, reading: Reading, common: Record | None = None) -> Record:
        """Append the change that a reading found, and save."""
        log = record.log if record else Log(self._entropy(DOCUMENT_ID_BYTES), _NOTHING)
        document = self._document or self._loaded(log)
        self._document = None  # back in place only when the record that matches it is on disk
        before = document.state_vector()
        if reading.rewritten is None:
            document.append(reading.grown)
        else:
            document.replace_with(split_lines(reading.rewritten))
        sighting = reading.sighting
        log = self._appended(log, document, before, Text(sighting.text, sighting.size, len(document), reading.mtime_ns))
        saved = self._saved(log, record or common)
        self._document = document if sighting.size <= _KEPT_IN_MEMORY else None
        return saved

    def _loaded(self, log: Log) -> LineDocument:
        document, _ = replay([update.content for update in log.updates], self._store.read, self._client_id)
        return document

    def _appended(self, log: Log, document: LineDocument, before: bytes, text: Text) -> Log:
        if not log.updates and not len(document):
            return Log(log.document, text)
        log, newest = log.followed_by(document, before, text)
        self._store.updates.write(log.updates[-1].content.ref, newest)
        return log

    def _saved(self, log: Log, previous: Record | None) -> Record:
        common, roots = (previous.common, previous.roots) if previous else (None, ())
        record = Record(self._entropy(GENERATION_BYTES), log, common, roots).knowing_root()
        self._generation = b""  # unless the record reaches the disk, the next look starts afresh
        self._store.save(record, previous)
        self._generation = record.generation
        return record
