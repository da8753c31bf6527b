# SPDX-License-Identifier: Apache-2.0
"""What a home's database says, read by ``sqlite3`` alone and without changing it (docs/specs/store.md §4).

The home of a dead agent is copied before it is opened: opening rolls the write-ahead log forward, and the evidence
shall stay as the crash left it. That of a living agent is opened read-only beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

DATABASE: Final = "store.sqlite3"
_WAL: Final = DATABASE + "-wal"
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Session:
    """A row of ``sessions``."""

    id: str
    chain: bytes
    role: str
    epoch: int
    owner: str
    frozen_txn: str | None
    forked: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A row of ``parts``."""

    session: str
    part: str
    kind: str
    path: Path | None
    held_by: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A row of ``grants``."""

    txn: str
    session: str
    target: str
    root: bytes
    epoch: int
    signed: bytes
    manifest: bytes | None
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of ``decisions``."""

    txn: str
    session: str
    source: str
    verdict: str
    statement: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """A row of ``pending_commits`` or ``pending_changes``."""

    txn: str
    """Of the handoff; for a change its id."""
    session: str
    part: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Fork:
    """A row of ``forks``: a fork that this device made."""

    fork: str
    original: str
    manifest: bytes
    state: str


@dataclass(frozen=True, slots=True)
class Merge:
    """A row of ``merges``: a fork that this device took in."""

    fork: str
    original: str
    source: str


@dataclass(frozen=True, slots=True)
class Generation:
    """A row of ``generations``."""

    session: str
    number: int
    epoch: int
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """A row of ``changes``: an undo or a merge that is under way."""

    id: str
    session: str
    phase: str


@dataclass(frozen=True, slots=True)
class Home:
    """Everything that counts in one home."""

    path: Path
    device: str
    counter: int
    damage: str
    """What SQLite's own check says; empty when nothing."""
    sessions: tuple[Session, ...] = ()
    parts: tuple[Part, ...] = ()
    grants: tuple[Grant, ...] = ()
    decisions: tuple[Decision, ...] = ()
    pending: tuple[Pending, ...] = ()
    known: tuple[str, ...] = field(default=())
    """Devices it is linked with."""
    floor: int = 0
    """The highest counter that a peer says it saw: above ``counter`` the home was rolled back."""
    forks: tuple[Fork, ...] = ()
    merges: tuple[Merge, ...] = ()
    generations: tuple[Generation, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def is_rolled_back(self) -> bool:
        """Whether it knows itself that it is an old copy (docs/specs/ownership.md §7)."""
        return self.counter < self.floor

    def shelf(self, session: str, part: str) -> Path:
        """Where the earlier states of a part are (docs/specs/store.md §8)."""
        return self.path / "generations" / session / part

    def parts_of(self, session: str) -> tuple[Part, ...]:
        """The parts of one session."""
        return tuple(part for part in self.parts if part.session == session)


def read_home(path: Path) -> Home:
    """Read one home.

    Raises:
        sqlite3.Error: Its database cannot be read.
        OSError: It is not there.
    """
    with _opened(path) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")  # One picture: a living agent goes on writing.
        home = connection.execute("SELECT * FROM home").fetchone()
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        return Home(
            path=path,
            device=home["device"],
            counter=home["counter"],
            damage="" if verdict == "ok" else str(verdict),
            sessions=tuple(_session(row) for row in connection.execute("SELECT * FROM sessions")),
            parts=tuple(_part(row) for row in connection.execute("SELECT * FROM parts")),
            grants=tuple(_grant(row) for row in connection.execute("SELECT * FROM grants")),
            decisions=tuple(_decision(row) for row in connection.execute("SELECT * FROM decisions")),
            pending=tuple(
                _pending(row)
                for table, name in (("pending_commits", "txn"), ("pending_changes", "change"))
                for row in connection.execute(f"SELECT {name} AS txn, session, part, directory FROM {table}")
            ),
            known=tuple(row["device"] for row in connection.execute("SELECT device FROM links")),
            floor=home["floor"],
            forks=_rows(connection, Fork, "forks", "fork, original, manifest, state"),
            merges=_rows(connection, Merge, "merges", "fork, original, source"),
            generations=_rows(connection, Generation, "generations", "session, number, epoch, manifest"),
            changes=_rows(connection, Change, "changes", "id, session, phase"),
        )


@contextlib.contextmanager
def _opened(home: Path) -> Iterator[sqlite3.Connection]:
    if is_running(home):
        with contextlib.closing(sqlite3.connect(f"file:{home / DATABASE}?mode=ro", uri=True)) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory(prefix="handoff-evidence-") as copy:
        for name in (DATABASE, _WAL):
            if (home / name).exists() or name == DATABASE:
                shutil.copyfile(home / name, Path(copy) / name)
        with contextlib.closing(sqlite3.connect(Path(copy) / DATABASE)) as connection:
            yield connection


def is_running(home: Path) -> bool:
    """Whether an agent holds the home's lock."""
    try:
        descriptor = os.open(home / "agent.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _rows(connection: sqlite3.Connection, kind: Callable[..., _Row], table: str, columns: str) -> tuple[_Row, ...]:
    return tuple(kind(*row) for row in connection.execute(f"SELECT {columns} FROM {table}"))


def _session(row: Any) -> Session:
    return Session(
        row["id"], row["chain"], row["role"], row["epoch"], row["owner"], row["frozen_txn"], bool(row["forked"])
    )


def _part(row: Any) -> Part:
    path = None if row["path"] is None else Path(os.fsdecode(row["path"]))
    return Part(row["session"], row["part"], row["kind"], path, row["held_by"])


def _grant(row: Any) -> Grant:
    names = ("txn", "session", "target", "root", "epoch", "signed", "manifest", "answer")
    return Grant(*(row[name] for name in names))


def _decision(row: Any) -> Decision:
    return Decision(*(row[name] for name in ("txn", "session", "source", "verdict", "statement")))


def _pending(row: Any) -> Pending:
    return Pending(row["txn"], row["session"], row["part"], Path(os.fsdecode(row["directory"])))
