# SPDX-License-Identifier: Apache-2.0
"""One SQLite connection: durable settings, transactions, typed errors. Layer: I/O ring.

Specification: docs/specs/store.md §1-2.

A transaction that returned is on the disk (WAL, ``synchronous=FULL``). After an I/O error or corruption
nothing more is written through this connection: what a failed sync left behind is not known.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from p2p_handoff.errors import HandoffError, LocalProtocolError, NoSpaceError, StorageError
from p2p_handoff.store import migrations

BUSY_SECONDS: Final = 5.0
"""How long a writer waits for another process (a backup tool, an inspecting shell)."""
OLDEST_SQLITE: Final = (3, 37, 0)
"""STRICT tables came with 3.37.0 (2021)."""

_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    # macOS: fsync alone leaves the drive's cache unflushed; elsewhere these do nothing.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
)

_FAILURES: Final[Mapping[int, tuple[str, str]]] = {
    sqlite3.SQLITE_FULL: ("the disk of the data directory is full", "free some space and try again"),
    sqlite3.SQLITE_READONLY: ("the data directory is read-only", "make it writable"),
    sqlite3.SQLITE_IOERR: ("the disk failed under the data directory", "check the disk, then restart the agent"),
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", "restore the data directory from a backup"),
    sqlite3.SQLITE_NOTADB: ("the database file is not a database", "restore the data directory from a backup"),
    sqlite3.SQLITE_CANTOPEN: ("the database cannot be opened", "check that its directory exists and is yours"),
    sqlite3.SQLITE_BUSY: ("another program keeps the database locked", "close it and try again"),
    sqlite3.SQLITE_LOCKED: ("another program keeps the database locked", "close it and try again"),
    sqlite3.SQLITE_NOMEM: ("the database ran out of memory", "close some programs and try again"),
    sqlite3.SQLITE_TOOBIG: ("a value is too big for the database", "hand off fewer parts"),
}
_FATAL: Final = frozenset((sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))

Row = tuple[Any, ...]


class Database:
    """The connection. Safe to call from several threads: transactions take turns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use ``open_database``."""
        self._connection = connection
        self._turn = threading.RLock()
        self._failure: StorageError | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and durable on return.

        Raises:
            StorageError: Nothing of the transaction has happened.
        """
        with self._turn, self._translated():
            if self._is_open():
                raise LocalProtocolError("transactions do not nest")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._is_open():
                    self._connection.execute("ROLLBACK")
                raise

    def write(self, sql: str, parameters: tuple[object, ...] = ()) -> int:
        """One changing statement inside ``transaction``; returns the number of rows changed.

        Raises:
            LocalProtocolError: No transaction is open, or the schema forbids the change.
            StorageError: The disk.
        """
        with self._turn, self._translated():
            if not self._is_open():
                raise LocalProtocolError("writes need a transaction")
            return self._connection.execute(sql, parameters).rowcount

    def rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Row]:
        """All rows of a query.

        Raises:
            StorageError: The disk.
        """
        with self._turn, self._translated():
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: tuple[object, ...] = ()) -> Row | None:
        """The first row of a query, or None.

        Raises:
            StorageError: The disk.
        """
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    def close(self) -> None:
        """Close the connection; SQLite folds the write-ahead log into the database."""
        with self._turn:
            self._connection.close()

    def _is_open(self) -> bool:
        """Asked anew each time: an error may have ended the transaction (SQLite, lang_transaction §2.1)."""
        return self._connection.in_transaction

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._failure is not None:
            raise StorageError(self._failure.what, advice=self._failure.advice)
        try:
            yield
        except sqlite3.Error as error:
            translated = translate(error)
            if isinstance(translated, StorageError) and _primary_code(error) in _FATAL:
                self._failure = translated
            raise translated from error


def open_database(path: Path, made: Callable[[sqlite3.Connection], Database] = Database) -> Database:
    """Open, check and migrate the database of a home; create it where there is none.

    Args:
        path: The file; its directory exists and is private.
        made: What is made of the prepared connection.

    Raises:
        StorageError: It cannot be opened, is damaged, or was written by a newer version.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StorageError(
            f"SQLite {sqlite3.sqlite_version} is too old", advice="use a Python built with 3.37 or newer"
        )
    try:
        _create_private(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise translate(error) from error
    except OSError as error:
        raise StorageError(f"the database cannot be opened: {error.strerror}") from error
    try:
        _prepare(connection)
    except sqlite3.Error as error:
        connection.close()
        raise translate(error) from error
    except BaseException:
        connection.close()
        raise
    return made(connection)


def translate(error: sqlite3.Error) -> HandoffError:
    """The typed error for one of SQLite's."""
    code = _primary_code(error)
    if code == sqlite3.SQLITE_CONSTRAINT:
        return LocalProtocolError(f"the database forbids this change: {error}")
    what, advice = _FAILURES.get(code, (f"the database failed: {error}", ""))
    return (NoSpaceError if code == sqlite3.SQLITE_FULL else StorageError)(what, advice=advice)


def _prepare(connection: sqlite3.Connection) -> None:
    for setting in _SETTINGS:
        connection.execute(setting)
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StorageError("the database is damaged", advice="restore the data directory from a backup")
    migrations.apply(connection)


def _create_private(path: Path) -> None:
    """SQLite gives its side files the mode of the database file."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _primary_code(error: sqlite3.Error) -> int:
    """The primary result code; errors of the Python module itself have none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
