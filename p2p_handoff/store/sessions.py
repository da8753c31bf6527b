# SPDX-License-Identifier: Apache-2.0
"""Sessions and where their parts are. Layer: I/O ring. Specification: docs/specs/store.md §4.

Reading, and the few changes that leave ownership alone. Everything else about a session changes in
store.ownership, in one transaction with its ownership.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import InDoubtError, NotFoundError, UsageError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.ownership import Frozen, Ownership, Role
from p2p_handoff.store.counter import Counter
from p2p_handoff.store.database import Database, Row
from p2p_handoff.store.records import PartBinding, SessionRecord

_SESSIONS: Final = (
    "SELECT s.id, s.title, s.created_at, s.manifest, s.chain, s.stopped, s.role, s.epoch, s.owner, s.forked,"
    " g.txn, g.target, g.root, g.epoch FROM sessions s LEFT JOIN grants g ON g.txn = s.frozen_txn"
)
_PARTS: Final = "SELECT session, part, type, kind, name, path, held_by FROM parts"


class Sessions:
    """The sessions that this device has."""

    def __init__(self, database: Database, counter: Counter) -> None:
        self._database = database
        self._counter = counter

    def get(self, session: SessionId) -> SessionRecord | None:
        """A session, or None."""
        row = self._database.row(f"{_SESSIONS} WHERE s.id = ?", (session,))
        return None if row is None else _session(row)

    def all(self) -> tuple[SessionRecord, ...]:
        """All sessions, oldest first."""
        return tuple(_session(row) for row in self._database.rows(f"{_SESSIONS} ORDER BY s.created_at, s.id"))

    def bindings(self, session: SessionId) -> tuple[PartBinding, ...]:
        """A session's parts in the order in which they became known."""
        rows = self._database.rows(f"{_PARTS} WHERE session = ? ORDER BY rowid", (session,))
        return tuple(_binding(row) for row in rows)

    def at_path(self, path: Path) -> tuple[PartBinding, ...]:
        """The parts that live at exactly this absolute path."""
        return tuple(_binding(row) for row in self._database.rows(f"{_PARTS} WHERE path = ?", (os.fsencode(path),)))

    def bind(self, binding: PartBinding) -> None:
        """Add a part to a session, or say where a part is now.

        Raises:
            LocalProtocolError: No such session.
        """
        with self._database.transaction():
            write_binding(self._database, binding)

    def rename(self, session: SessionId, title: str) -> None:
        """Change a title.

        Raises:
            NotFoundError: No such session.
        """
        self._change("UPDATE sessions SET title = ? WHERE id = ?", title, session)

    def set_manifest(self, session: SessionId, manifest: bytes) -> None:
        """Remember the encoded manifest of the last common state.

        Raises:
            NotFoundError: No such session.
        """
        self._change("UPDATE sessions SET manifest = ? WHERE id = ?", manifest, session)

    def set_stopped(self, session: SessionId, *, stopped: bool) -> None:
        """Stop or start a session on this device.

        Raises:
            NotFoundError: No such session.
        """
        self._change("UPDATE sessions SET stopped = ? WHERE id = ?", int(stopped), session)

    def remove(self, session: SessionId) -> None:
        """Forget a session; the files of its parts stay where they are, and so do its decisions.

        Raises:
            NotFoundError: No such session.
            InDoubtError: It is frozen: its outcome would be lost.
            UsageError: A part of it is still being put in place.
        """
        record = self.get(session)
        if record is None:
            raise NotFoundError(f"no session {session}")
        if record.ownership.role is Role.FROZEN:
            raise InDoubtError("a frozen session cannot be forgotten", advice="resolve it with handoff recover")
        if self._database.row("SELECT 1 FROM pending_commits WHERE session = ?", (session,)):
            raise UsageError("a part of the session is still being put in place", advice="try again in a moment")
        with self._database.transaction():
            self._database.write("DELETE FROM sessions WHERE id = ?", (session,))
            self._counter.advance()

    def _change(self, sql: str, value: object, session: SessionId) -> None:
        with self._database.transaction():
            if self._database.write(sql, (value, session)) != 1:
                raise NotFoundError(f"no session {session}")


def write_binding(database: Database, binding: PartBinding) -> None:
    """Store where a part is, inside a transaction."""
    database.write(
        "INSERT INTO parts (session, part, type, kind, name, path, held_by) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (session, part) DO UPDATE SET type = excluded.type, kind = excluded.kind,"
        " name = excluded.name, path = excluded.path, held_by = excluded.held_by",
        (
            binding.session,
            binding.part,
            binding.type.value,
            binding.kind,
            binding.name,
            None if binding.path is None else os.fsencode(binding.path),
            binding.held_by,
        ),
    )


def _session(row: Row) -> SessionRecord:
    session, title, created_at, manifest, chain, stopped, role, epoch, owner, forked, *grant = row
    own = Ownership(SessionId(session), Role(role), epoch, DeviceId(owner), _frozen(grant), bool(forked))
    return SessionRecord(own.session, title, created_at, manifest, own, chain, bool(stopped))


def _frozen(grant: list[object]) -> Frozen | None:
    match grant:
        case [str(txn), str(target), bytes(root), int(epoch)]:
            return Frozen(TxnId(txn), DeviceId(target), Digest(root), epoch)
    return None


def _binding(row: Row) -> PartBinding:
    session, part, kind_of_content, kind, name, path, held_by = row
    return PartBinding(
        session=SessionId(session),
        part=PartId(part),
        type=PartType(kind_of_content),
        kind=kind,
        name=name,
        path=None if path is None else Path(os.fsdecode(path)),
        held_by=None if held_by is None else DeviceId(held_by),
    )
