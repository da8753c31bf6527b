# SPDX-License-Identifier: Apache-2.0
"""Forward-only numbered migrations. Layer: I/O ring. Specification: docs/specs/store.md §3.

``schema/0001_*.sql``, ``0002_*.sql``, … are applied in order, each in one transaction together with its
number in ``user_version``. A file that was released never changes.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from p2p_handoff.errors import StorageError

_FILE: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    sql: str


def shipped() -> tuple[Migration, ...]:
    """All migrations of this version, in order, without gaps."""
    schema = resources.files("p2p_handoff.store") / "schema"
    found = [
        Migration(int(match[1]), file.read_text(encoding="utf-8"))
        for file in schema.iterdir()
        if (match := _FILE.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


def apply(connection: sqlite3.Connection, steps: Sequence[Migration] | None = None) -> None:
    """Bring a database up to date.

    Args:
        connection: Open, in autocommit mode.
        steps: Instead of the shipped migrations.

    Raises:
        StorageError: A newer version of the program has migrated it further than this one knows.
        sqlite3.Error: A migration failed; the ones before it stay applied, it has left no trace.
    """
    steps = shipped() if steps is None else steps
    (current,) = connection.execute("PRAGMA user_version").fetchone()
    newest = steps[-1].number
    if current > newest:
        raise StorageError(
            f"the data directory was last used by a newer version (schema {current}, known is {newest})",
            advice="install that version again",
        )
    for step in steps[current:]:
        _apply_one(connection, step)


def _apply_one(connection: sqlite3.Connection, step: Migration) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{step.sql}\nPRAGMA user_version = {step.number};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
