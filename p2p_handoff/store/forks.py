# SPDX-License-Identifier: Apache-2.0
"""Forks: which session goes on in which on this device, and how they come together again. Layer: I/O ring.

Specification: docs/specs/ownership.md §3 (force), store.md §9. Each method that changes something is one durable
transaction. The rules are in session.journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import NotFoundError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.session import journal
from p2p_handoff.session.journal import ForkState
from p2p_handoff.session.ownership import Ownership
from p2p_handoff.store.database import Row
from p2p_handoff.store.ownership_rows import OwnershipRows
from p2p_handoff.store.records import NewSession

_FORKS: Final = "SELECT fork, original, manifest, made_at, state, ended_at FROM forks"
_MERGES: Final = "SELECT fork, root, original, source, merged_at FROM merges"


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork that this device made."""

    fork: SessionId
    original: SessionId
    manifest: bytes
    """The original's encoded manifest as it was granted: what the fork left."""
    made_at: float
    """Unix seconds."""
    state: ForkState
    ended_at: float | None
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Merge:
    """A fork that this device has taken in as primary of its original."""

    fork: SessionId
    root: Digest
    """Of the fork's manifest as it was taken in."""
    original: SessionId
    source: DeviceId
    """Who made the fork."""
    merged_at: float
    """Unix seconds."""


class Forks:
    """Forks made here, and forks taken in here."""

    def __init__(self, rows: OwnershipRows) -> None:
        self._rows = rows

    def begin(self, original: SessionId, new: NewSession, *, left: bytes) -> Ownership:
        """The user gives a silent target up: mark the frozen original and go on in a new session.

        Paths on this device belong to the fork from here on. Allowed in a rolled-back home: it begins something new.

        Args:
            original: The frozen session.
            new: The fork; its genesis names the original as parent.
            left: The encoded manifest that the original was granted with.

        Raises:
            NotFoundError: No such original.
            TrustError: The fork's chain does not verify.
            LocalProtocolError: The original is neither frozen nor lost, was forked before, or is not the fork's parent.
        """
        self._rows.warm(original)
        with self._rows.change():
            frozen = self._rows.held(self._rows.existing(original))
            marked, held = journal.fork(frozen, new.chain, me=self._rows.me)
            self._rows.set(marked.ownership)
            self._rows.database.write("UPDATE parts SET path = NULL WHERE session = ?", (original,))
            self._rows.insert(new, held)
            self._rows.database.write(
                "INSERT INTO forks (fork, original, manifest, made_at) VALUES (?, ?, ?, ?)",
                (held.ownership.session, original, left, new.created_at),
            )
        return held.ownership

    def get(self, fork: SessionId) -> Fork | None:
        """A fork that this device made, or None."""
        row = self._rows.database.row(f"{_FORKS} WHERE fork = ?", (fork,))
        return None if row is None else _fork(row)

    def is_over(self, session: SessionId) -> bool:
        """True for a fork that came together with its original: nothing of it is left to work with."""
        found = self.get(session)
        return found is not None and found.state is not ForkState.OPEN

    def open_of(self, original: SessionId) -> Fork | None:
        """The fork in which a session goes on here, or None."""
        row = self._rows.database.row(f"{_FORKS} WHERE original = ? AND state = 'open'", (original,))
        return None if row is None else _fork(row)

    def open(self) -> tuple[Fork, ...]:
        """The forks that have not come together with their originals, newest first: forks of forks before those."""
        return tuple(map(_fork, self._rows.database.rows(f"{_FORKS} WHERE state = 'open' ORDER BY rowid DESC")))

    def ended(self) -> tuple[Fork, ...]:
        """The forks that came together with their originals, oldest first."""
        return tuple(map(_fork, self._rows.database.rows(f"{_FORKS} WHERE state <> 'open' ORDER BY rowid")))

    def of(self, original: SessionId) -> tuple[Fork, ...]:
        """All forks of a session that were made here, oldest first."""
        rows = self._rows.database.rows(f"{_FORKS} WHERE original = ? ORDER BY rowid", (original,))
        return tuple(map(_fork, rows))

    def end(self, fork: SessionId, *, at: float) -> ForkState:
        """The original has the fork's content: it takes its paths back, and the fork is over.

        Args:
            fork: Open, and this device its primary.
            at: Unix seconds.

        Returns:
            REJOINED where this device is the original's primary, else MERGED.

        Raises:
            NotFoundError: No such fork.
            LocalProtocolError: It is over, this device is not its primary, or the original is still frozen.
        """
        with self._rows.change():
            found = self.get(fork)
            if found is None:
                raise NotFoundError(f"no fork {fork}")
            original = self._rows.existing(found.original).ownership
            state = journal.reunite(original, self._rows.existing(fork).ownership, found.state)
            write = self._rows.database.write
            write("UPDATE forks SET state = ?, ended_at = ? WHERE fork = ?", (state.value, at, fork))
            write(
                "UPDATE parts SET path = (SELECT f.path FROM parts f WHERE f.session = ? AND f.part = parts.part)"
                " WHERE session = ? AND path IS NULL",
                (fork, found.original),
            )
            write("UPDATE parts SET path = NULL WHERE session = ?", (fork,))
            write("UPDATE sessions SET stopped = 1 WHERE id = ?", (fork,))
        return state

    # --- at the original's primary ------------------------------------------------------------------

    def take_in(self, merge: Merge, decide: Callable[[], None]) -> None:
        """A fork is taken in: its note and what follows from it are one transaction. The same again notes nothing.

        Args:
            merge: The note.
            decide: Writes the rest.
        """
        with self._rows.database.transaction():
            decide()
            self._rows.database.write(
                "INSERT INTO merges (fork, root, original, source, merged_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (merge.fork, merge.root, merge.original, merge.source, merge.merged_at),
            )

    def merged(self, fork: SessionId, root: Digest) -> bool:
        """True when exactly this was taken in before."""
        found = self._rows.database.row("SELECT 1 FROM merges WHERE fork = ? AND root = ?", (fork, root))
        return found is not None

    def merges_into(self, original: SessionId) -> tuple[Merge, ...]:
        """What was taken into a session, oldest first."""
        rows = self._rows.database.rows(f"{_MERGES} WHERE original = ? ORDER BY rowid", (original,))
        return tuple(map(_merge, rows))


def _fork(row: Row) -> Fork:
    fork, original, manifest, made_at, state, ended_at = row
    return Fork(SessionId(fork), SessionId(original), manifest, made_at, ForkState(state), ended_at)


def _merge(row: Row) -> Merge:
    fork, root, original, source, merged_at = row
    return Merge(SessionId(fork), Digest(root), SessionId(original), DeviceId(source), merged_at)
