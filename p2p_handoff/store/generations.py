# SPDX-License-Identifier: Apache-2.0
"""Which earlier states of sessions are kept, and the undos and merges that are not in place yet. Layer: I/O ring.

Specification: docs/specs/store.md §8, ownership.md §3 (undo). Rows only: the contents are the adapters'. A change
that is ``placing`` is decided like an accepted handoff: whatever happens, it is rolled forward.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from p2p_handoff.errors import LocalProtocolError, NotFoundError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.session.manifest import Manifest, decode_manifest, encode_manifest
from p2p_handoff.store.database import Database, Row

_GENERATIONS: Final = "SELECT session, number, kept_at, cause, change, epoch, manifest FROM generations"


class Cause(Enum):
    """What replaced a state."""

    HANDOFF = "handoff"
    UNDO = "undo"
    MERGE = "merge"


class Phase(Enum):
    """How far a change is."""

    STAGING = "staging"
    """Nothing visible has changed."""
    PLACING = "placing"
    """It is decided, and has to be put in place."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A state that was replaced."""

    session: SessionId
    kept_at: float
    """Unix seconds."""
    cause: Cause
    change: str
    """The handoff's txn, or the id of the undo or merge."""
    epoch: int
    """Of the session as this device knew it."""
    manifest: Manifest
    """The parts that were here, at the roots under which they are kept; none for a first arrival."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A state that is kept."""

    number: int
    """Counts up within its session."""
    kept: Kept


@dataclass(frozen=True, slots=True)
class Change:
    """An undo or a merge that is under way."""

    id: str
    session: SessionId
    cause: Cause
    phase: Phase
    generation: int | None = None
    """For an undo: what it brings back."""


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A part of a change that is sealed in its staging directory and belongs in its place."""

    change: str
    session: SessionId
    part: PartId
    directory: Path
    state: Path
    """The part's own directory in the home."""
    kind: str
    """The adapter's name."""


class Generations:
    """Kept states and pending changes of all sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- kept states --------------------------------------------------------------------------------

    def of(self, session: SessionId) -> tuple[Generation, ...]:
        """What is kept of a session, oldest first."""
        rows = self._database.rows(f"{_GENERATIONS} WHERE session = ? ORDER BY number", (session,))
        return tuple(map(_generation, rows))

    def before(self, session: SessionId, change: str) -> Generation | None:
        """What a handoff, undo or merge replaced; None where it was not kept (yet)."""
        row = self._database.row(f"{_GENERATIONS} WHERE session = ? AND change = ?", (session, change))
        return None if row is None else _generation(row)

    def add(self, kept: Kept) -> Generation:
        """Note a state whose contents are on the disk; the same change again changes nothing."""
        with self._database.transaction():
            return self._add(kept)

    def forget(self, session: SessionId, numbers: Iterable[int]) -> None:
        """Forget some states; their contents go afterwards."""
        with self._database.transaction():
            for number in numbers:
                self._database.write("DELETE FROM generations WHERE session = ? AND number = ?", (session, number))

    # --- changes ------------------------------------------------------------------------------------

    def change_of(self, session: SessionId) -> Change | None:
        """The undo or merge of a session that is under way, if one is."""
        row = self._database.row(
            "SELECT id, session, cause, phase, generation FROM changes WHERE session = ?", (session,)
        )
        return None if row is None else _change(row)

    def changes(self) -> tuple[Change, ...]:
        """All that are under way, oldest first."""
        rows = self._database.rows("SELECT id, session, cause, phase, generation FROM changes ORDER BY rowid")
        return tuple(map(_change, rows))

    def begin(self, change: Change) -> None:
        """A change begins; it is forgotten at a restart until it is decided.

        Raises:
            LocalProtocolError: Another one of the session is under way.
        """
        with self._database.transaction():
            if self.change_of(change.session) is not None:
                raise LocalProtocolError("another change of the session is under way")
            self._database.write(
                "INSERT INTO changes (id, session, cause, phase, generation) VALUES (?, ?, ?, ?, ?)",
                (change.id, change.session, change.cause.value, Phase.STAGING.value, change.generation),
            )

    def decide(self, change: str, kept: Kept, parts: Sequence[PendingChange]) -> None:
        """The point of no return: what is replaced is kept, what replaces it is sealed, and will be put in place.

        Raises:
            NotFoundError: No such change began.
        """
        with self._database.transaction():
            self.decide_within(change, kept, parts)

    def decide_within(self, change: str, kept: Kept | None, parts: Sequence[PendingChange]) -> None:
        """As ``decide``, inside a transaction that decides more; without ``kept`` where none are kept."""
        update = "UPDATE changes SET phase = ? WHERE id = ?"
        if self._database.write(update, (Phase.PLACING.value, change)) != 1:
            raise NotFoundError("the change was given up")
        if kept is not None:
            self._add(kept)
        for part in parts:
            self._database.write(
                "INSERT INTO pending_changes (change, session, part, directory, state, kind) VALUES (?, ?, ?, ?, ?, ?)",
                (part.change, part.session, part.part, os.fsencode(part.directory), os.fsencode(part.state), part.kind),
            )

    def give_up(self, change: str) -> None:
        """Forget a change that was not decided."""
        with self._database.transaction():
            self._database.write("DELETE FROM changes WHERE id = ? AND phase = ?", (change, Phase.STAGING.value))

    def pending(self, change: str) -> tuple[PendingChange, ...]:
        """The parts of a decided change that are not in place yet."""
        rows = self._database.rows(
            "SELECT change, session, part, directory, state, kind FROM pending_changes WHERE change = ? ORDER BY rowid",
            (change,),
        )
        return tuple(map(_pending, rows))

    def pending_directories(self) -> frozenset[Path]:
        """The staging directories of all decided changes: nobody may remove them."""
        rows = self._database.rows("SELECT directory FROM pending_changes")
        return frozenset(Path(os.fsdecode(directory)) for (directory,) in rows)

    def placed(self, change: str, part: PartId) -> None:
        """A part is in place; with the last one the change is over."""
        with self._database.transaction():
            self._database.write("DELETE FROM pending_changes WHERE change = ? AND part = ?", (change, part))
            self._database.write(
                "DELETE FROM changes WHERE id = ? AND phase = ?"
                " AND NOT EXISTS (SELECT 1 FROM pending_changes WHERE change = changes.id)",
                (change, Phase.PLACING.value),
            )

    def finish(self, change: str) -> None:
        """A decided change without parts left is over."""
        with self._database.transaction():
            self._database.write(
                "DELETE FROM changes WHERE id = ? AND NOT EXISTS"
                " (SELECT 1 FROM pending_changes WHERE change = changes.id)",
                (change,),
            )

    def _add(self, kept: Kept) -> Generation:
        known = self.before(kept.session, kept.change)
        if known is not None:
            return known
        row = self._database.row("SELECT max(number) FROM generations WHERE session = ?", (kept.session,))
        number = 1 + (row[0] or 0 if row else 0)
        manifest = encode_manifest(kept.manifest)
        self._database.write(
            "INSERT INTO generations (session, number, kept_at, cause, change, epoch, manifest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (kept.session, number, kept.kept_at, kept.cause.value, kept.change, kept.epoch, manifest),
        )
        return Generation(number, kept)


def _generation(row: Row) -> Generation:
    session, number, kept_at, cause, change, epoch, manifest = row
    return Generation(number, Kept(SessionId(session), kept_at, Cause(cause), change, epoch, decode_manifest(manifest)))


def _change(row: Row) -> Change:
    name, session, cause, phase, generation = row
    return Change(name, SessionId(session), Cause(cause), Phase(phase), generation)


def _pending(row: Row) -> PendingChange:
    change, session, part, directory, state, kind = row
    return PendingChange(
        change, SessionId(session), PartId(part), Path(os.fsdecode(directory)), Path(os.fsdecode(state)), kind
    )
