# SPDX-License-Identifier: Apache-2.0
"""Where a conversation's log lives on disk: objects by digest, and the record that names them. Layer: I/O ring.

Specification: docs/specs/conversation.md §5. The record is replaced by one rename after everything it names is on
disk, and each record has a random generation: whoever finds another generation than it wrote itself knows that
the log was replaced under it (an update, a restored home) and takes a fresh CRDT client id.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.conversation_log import Log, Update
from p2p_handoff.adapters.conversation_root import content_row, read_content, read_text
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, verify
from p2p_handoff.content.objects import Content
from p2p_handoff.errors import IntegrityError, NotFoundError, RemoteProtocolError
from p2p_handoff.limits import MAX_CRDT_UPDATE, MAX_OBJECT

_LABEL: Final = "conversation-state/1"
_RECORD: Final = b"log"
_FROZEN: Final = b"frozen"
_UPDATES: Final = b"updates"
_KEPT_ROOTS: Final = 16
"""Roots whose text is remembered, so that a grant of an older one can still become the common state."""


class Shelf:
    """Files named by digest in one private directory, held by descriptor.

    Args:
        parent: Descriptor of the directory that it is in.
        name: Its name there; created when it is not there yet.
        durable: Whether each file is on disk when ``write`` returns. One file at a time: syncing the whole file
            system instead would wait for everybody else's data.

    Raises:
        StorageError, PathError: It cannot be made.
    """

    def __init__(self, parent: int, name: bytes, *, durable: bool) -> None:
        self._durable = durable
        with beneath.typed_errors(f"make {os.fsdecode(name)!r}"):
            self._directory = beneath.make_private_directory(parent, name)
        weakref.finalize(self, os.close, self._directory)

    def has(self, ref: Digest) -> bool:
        """True when an object is here, whole or not: ``read`` verifies it."""
        return beneath.status(self._directory, (_name(ref),)) is not None

    def read(self, ref: Digest, limit: int) -> bytes:
        """The bytes stored under a digest, not verified.

        Raises:
            NotFoundError: Nothing is.
            StorageError: It is larger than ``limit`` or cannot be read.
        """
        return beneath.read_whole(self._directory, _name(ref), limit)

    def read_part(self, ref: Digest, offset: int, length: int) -> bytes:
        """Bytes of a stored file, from an offset.

        Raises:
            OSError: It is gone or cannot be read.
        """
        with beneath.file(self._directory, (_name(ref),)) as opened:
            return beneath.read_range(opened, offset, length)

    def write(self, ref: Digest, data: bytes) -> None:
        """Store bytes whole or not at all; a name that is taken has the right bytes already.

        Raises:
            StorageError: The disk is full or failing.
        """
        if not self.has(ref):
            with beneath.typed_errors("store a conversation's update", needed=len(data)):
                beneath.write_atomically(self._directory, _name(ref), data, sync=self._durable)

    def adopt(self, ref: Digest, other: Shelf) -> None:
        """Have what another shelf has: by a second link where both are on one file system, else by a copy.

        Raises:
            NotFoundError: The other one has it not.
            StorageError: The disk is full or failing.
        """
        if self.has(ref):
            return
        try:
            os.link(_name(ref), _name(ref), src_dir_fd=other._directory, dst_dir_fd=self._directory)
        except OSError:
            self.write(ref, other.read(ref, MAX_CRDT_UPDATE))
        else:
            with beneath.typed_errors("store a conversation's update"):
                os.fsync(self._directory)

    def discard(self, ref: Digest) -> None:
        """Remove what is stored under a digest, if anything is."""
        beneath.remove_tree(self._directory, _name(ref))

    def keep_only(self, refs: Iterable[Digest]) -> None:
        """Remove every file that is not one of these."""
        kept = {_name(ref) for ref in refs}
        for name in map(os.fsencode, os.listdir(self._directory)):  # noqa: PTH208 - a held descriptor, not a path
            if name not in kept:
                os.unlink(name, dir_fd=self._directory)


def _name(ref: Digest) -> bytes:
    return ref.hex().encode("ascii")


@dataclass(frozen=True, slots=True)
class Record:
    """What a device remembers of a conversation."""

    generation: bytes
    """Random; another one at every write."""
    log: Log
    common: Digest | None = None
    """Digest of the text that this device last had in common with another one."""
    roots: tuple[tuple[Digest, Digest], ...] = ()
    """Newest last: (root, its text) of the snapshots that were handed out."""

    def knowing_root(self) -> Self:
        """This record with its own root among the known ones."""
        pair = (self.log.root.name, self.log.text.digest)
        others = tuple(known for known in self.roots if known[0] != pair[0])
        return type(self)(self.generation, self.log, self.common, (*others, pair)[-_KEPT_ROOTS:])


class ConversationStore:
    """A part's ``state`` directory.

    Args:
        state: Created when it is not there yet.
    """

    def __init__(self, state: Path) -> None:
        with beneath.typed_errors(f"open {state}"):
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory = beneath.open_root(state)
        weakref.finalize(self, os.close, self._directory)
        self.updates = Shelf(self._directory, _UPDATES, durable=True)

    def load(self) -> Record | None:
        """The record; None where there is none that can be read with all that it names."""
        return self._whole(_RECORD)

    def _whole(self, name: bytes) -> Record | None:
        try:
            record = decode_record(beneath.read_whole(self._directory, name, MAX_OBJECT))
        except (NotFoundError, IntegrityError):
            return None
        whole = all(self.updates.has(update.content.ref) for update in record.log.updates)
        return record if whole else None

    def read(self, content: Content) -> bytes:
        """The bytes of an update of this store.

        Raises:
            NotFoundError: It is not here.
        """
        return self.updates.read(content.ref, MAX_CRDT_UPDATE)

    def save(self, record: Record, previous: Record | None) -> None:
        """Make a record the current one. Its updates are on the shelf already.

        Args:
            record: The new one.
            previous: The one before it: its updates stay until the next save, because a snapshot may serve them.

        Raises:
            StorageError: The disk is full or failing; the old record stands.
        """
        with beneath.typed_errors("record a conversation's log"):
            beneath.write_atomically(self._directory, _RECORD, encode_record(record))
            logs = [record.log, *([previous.log] if previous else [])]
            frozen = self.frozen()
            logs.extend([frozen.log] if frozen else [])
            self.updates.keep_only(update.content.ref for log in logs for update in log.updates)

    def freeze(self, record: Record) -> None:
        """Remember a record as granted: what it names stays until another one is frozen or ``forget_frozen``.

        Raises:
            StorageError: The disk is full or failing.
        """
        with beneath.typed_errors("remember the frozen conversation"):
            beneath.write_atomically(self._directory, _FROZEN, encode_record(record))

    def frozen(self) -> Record | None:
        """The record that was frozen last; None where there is none that can be read with all that it names."""
        return self._whole(_FROZEN)

    def forget_frozen(self) -> None:
        """Nothing is granted any more, and nothing in common with what was."""
        with beneath.typed_errors("forget the frozen conversation"):
            beneath.remove_tree(self._directory, _FROZEN)


def encode_record(record: Record) -> bytes:
    """The bytes of a record."""
    roots = [list(pair) for pair in record.roots]
    return strict_cbor.encode([_LABEL, record.generation, log_row(record.log), record.common, roots])


def decode_record(data: bytes) -> Record:
    """Read a record.

    Raises:
        IntegrityError: It is malformed.
    """
    try:
        value = strict_cbor.decode(data, limit=MAX_OBJECT)
    except RemoteProtocolError as failure:
        raise IntegrityError("a conversation's record is malformed") from failure
    match value:
        case [str(label), bytes(generation), list(log), common, list(roots)] if label == _LABEL:
            last_common = Digest(common) if isinstance(common, bytes) else None
            return Record(generation, read_log(log), last_common, tuple(map(_read_pair, roots)))
        case _:
            raise IntegrityError("a conversation's record is malformed")


def log_row(log: Log) -> list[object]:
    """How a log is written in records and journals."""
    text = log.text
    updates = [[*content_row(update.content), update.before] for update in log.updates]
    return [log.document, [text.digest, text.size, text.lines, text.mtime_ns], updates]


def read_log(row: Any) -> Log:
    """Read a log that this device wrote.

    Raises:
        IntegrityError: It is malformed.
    """
    match row:
        case [bytes(document), list(text), list(updates)]:
            return Log(document, read_text(text), tuple(_read_update(update) for update in updates))
        case _:
            raise IntegrityError("a conversation's log is malformed")


def _read_pair(row: Any) -> tuple[Digest, Digest]:
    match row:
        case [bytes(root), bytes(text)]:
            return Digest(root), Digest(text)
        case _:
            raise IntegrityError("a conversation's record is malformed")


def _read_update(row: Any) -> Update:
    match row:
        case [*content, bytes(before)]:
            return Update(read_content(content), before)
        case _:
            raise IntegrityError("a conversation's log is malformed")


def verified(shelf: Shelf, ref: Digest, limit: int) -> bytes:
    """An object of a shelf, checked against its name.

    Raises:
        IntegrityError: It is not what its name says.
        NotFoundError: It is not there.
    """
    data = shelf.read(ref, limit)
    verify(ref, data)
    return data
