# SPDX-License-Identifier: Apache-2.0
"""What contents were searched for secrets, so that none is searched twice. Layer: I/O ring.

Specification: docs/specs/store.md §10. A cache in a file of its own: nothing of it has to be durable, a damaged one is
begun anew, and one that fails costs time only. What changes has another digest, and other rules have another name.
Which secret it is was never known here, only which kind.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from p2p_handoff.content.digests import Digest

log = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_SCANS: Final = 1_000_000
"""Contents that are remembered, some 100 bytes each: a few large folders. The oldest are searched again."""
_BATCH: Final = 5_000
_ASKED: Final = 500
"""Digests in one question; SQLite takes 999 variables at the least."""
_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS scans (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    rules  BLOB NOT NULL,
    found  TEXT NOT NULL,
    UNIQUE (digest, rules)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class ScanKey:
    """One content as some rules see it."""

    digest: Digest
    rules: bytes
    """Names the rules."""


class Scans:
    """Results of searches; opened when first asked. Thread-safe.

    Args:
        path: The file; its directory exists and is private.
        most: How many are remembered.
    """

    def __init__(self, path: Path, most: int = MAX_SCANS) -> None:
        self._path = path
        self._most = most
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._failed = False

    def found(self, keys: Iterable[ScanKey]) -> dict[ScanKey, frozenset[str]]:
        """The kinds of secrets in contents; those that are not known to have been searched by their rules are missing.

        Args:
            keys: What is asked for; any number, asked in few questions.
        """
        by_rules: dict[bytes, list[Digest]] = {}
        for key in keys:
            by_rules.setdefault(key.rules, []).append(key.digest)
        known: dict[ScanKey, frozenset[str]] = {}
        for rules, digests in by_rules.items():
            for start in range(0, len(digests), _ASKED):
                rows = self._do(partial(_rows, rules=rules, digests=digests[start : start + _ASKED])) or ()
                known.update((ScanKey(Digest(name), rules), frozenset(found.split())) for name, found in rows)
        return known

    def note(self, results: Iterable[tuple[ScanKey, frozenset[str]]]) -> None:
        """Remember what searches found."""
        rows = ((key.digest, key.rules, " ".join(sorted(found))) for key, found in results)
        while batch := list(islice(rows, _BATCH)):
            self._do(lambda opened, batch=batch: self._insert(opened, batch))  # type: ignore[misc] # bound on purpose

    def close(self) -> None:
        """Close the file; nothing is remembered afterwards."""
        with self._turn:
            self._forsake()

    def _insert(self, opened: sqlite3.Connection, rows: list[tuple[Digest, bytes, str]]) -> None:
        opened.execute("BEGIN IMMEDIATE")
        opened.executemany("INSERT OR IGNORE INTO scans (digest, rules, found) VALUES (?, ?, ?)", rows)
        opened.execute("DELETE FROM scans WHERE number <= (SELECT max(number) FROM scans) - ?", (self._most,))
        opened.execute("COMMIT")

    def _do(self, act: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Do something, unless the file failed before; None where it fails."""
        with self._turn:
            try:
                return None if self._failed else act(self._opened())
            except (sqlite3.Error, OSError) as error:
                log.warning("what was searched for secrets is not remembered: %s", error)
                self._forsake()
                return None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = _open(self._path)
            except sqlite3.OperationalError:
                raise  # The disk: what is in the file may be good.
            except sqlite3.DatabaseError:
                for left in ("", "-wal", "-shm"):
                    Path(f"{self._path}{left}").unlink(missing_ok=True)
                self._connection = _open(self._path)
        return self._connection

    def _forsake(self) -> None:
        self._failed = True
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _rows(opened: sqlite3.Connection, rules: bytes, digests: Sequence[Digest]) -> list[tuple[bytes, str]]:
    marks = ",".join("?" * len(digests))
    sql = f"SELECT digest, found FROM scans WHERE rules = ? AND digest IN ({marks})"  # noqa: S608 - marks alone
    return opened.execute(sql, (rules, *digests)).fetchall()


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
