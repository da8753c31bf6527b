# SPDX-License-Identifier: Apache-2.0
"""store.migrations: forward only, each whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from p2p_handoff.errors import StorageError
from p2p_handoff.store.migrations import Migration, apply, shipped

ONE = Migration(1, "CREATE TABLE a (n INTEGER);")
TWO = Migration(2, "CREATE TABLE b (n INTEGER); INSERT INTO b VALUES (1);")
BROKEN = Migration(2, "CREATE TABLE b (n INTEGER); INSERT INTO missing VALUES (1);")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def state(connection: sqlite3.Connection) -> tuple[int, list[str]]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
    return version, tables


def test_the_shipped_migrations_are_numbered_without_gaps() -> None:
    assert [step.number for step in shipped()] == list(range(1, len(shipped()) + 1))


def test_steps_apply_in_order_and_once(connection: sqlite3.Connection) -> None:
    apply(connection, [ONE])
    apply(connection, [ONE, TWO])
    apply(connection, [ONE, TWO])
    assert state(connection) == (2, ["a", "b"])
    assert connection.execute("SELECT count(*) FROM b").fetchone() == (1,)


def test_a_step_that_fails_leaves_no_trace(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.Error, match="missing"):
        apply(connection, [ONE, BROKEN])
    assert state(connection) == (1, ["a"])
    assert not connection.in_transaction


def test_a_newer_database_is_refused_with_both_numbers(connection: sqlite3.Connection) -> None:
    apply(connection, [ONE, TWO])
    with pytest.raises(StorageError, match="schema 2, known is 1"):
        apply(connection, [ONE])
