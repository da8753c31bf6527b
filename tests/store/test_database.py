# SPDX-License-Identifier: Apache-2.0
"""store.database: what was acknowledged stays, whatever happens, and failures have words."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.errors import LocalProtocolError, StorageError
from p2p_handoff.store.database import Database, open_database, translate

WRITER = """
import sys
from pathlib import Path
from p2p_handoff.store.database import open_database
database = open_database(Path(sys.argv[1]))
database._connection.execute("CREATE TABLE rows (number INTEGER)")
number = 0
while True:
    with database.transaction():
        database.write("INSERT INTO rows VALUES (?)", (number,))
        database.write("INSERT INTO rows VALUES (?)", (-number - 1,))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "db")
    with opened.transaction():
        opened.write("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
    yield opened
    opened.close()


def test_every_acknowledged_transaction_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(40)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
    database = open_database(path)
    rows = {number for (number,) in database.rows("SELECT number FROM rows")}
    database.close()
    assert set(acknowledged) <= rows
    assert {-number - 1 for number in rows} == rows, "no transaction is there by half"


def test_the_settings_that_durability_needs_are_on(database: Database) -> None:
    settings = {name: database.row(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert settings == {"journal_mode": ("wal",), "synchronous": (2,), "foreign_keys": (1,)}


def test_a_full_disk_is_a_storage_error_and_loses_nothing(database: Database) -> None:
    with database.transaction():
        database.write("INSERT INTO t VALUES (1, ?)", (b"kept",))
    pages = database.row("PRAGMA page_count")
    assert pages is not None
    database.rows(f"PRAGMA max_page_count = {pages[0] + 4}")
    with pytest.raises(StorageError, match="full") as caught, database.transaction():
        database.write("INSERT INTO t VALUES (2, zeroblob(1000000))")
    assert "free some space" in caught.value.advice
    assert database.rows("SELECT n FROM t") == [(1,)]
    with database.transaction():
        database.write("INSERT INTO t VALUES (3, NULL)")


def test_an_error_inside_undoes_the_transaction(database: Database) -> None:
    def fail() -> None:
        with database.transaction():
            database.write("INSERT INTO t VALUES (1, NULL)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert database.rows("SELECT n FROM t") == []


def test_a_broken_constraint_is_our_own_defect(database: Database) -> None:
    with pytest.raises(LocalProtocolError, match="UNIQUE"), database.transaction():
        database.write("INSERT INTO t VALUES (1, NULL), (1, NULL)")


def test_writes_need_a_transaction_and_transactions_do_not_nest(database: Database) -> None:
    with pytest.raises(LocalProtocolError, match="need"):
        database.write("DELETE FROM t")
    with pytest.raises(LocalProtocolError, match="nest"), database.transaction(), database.transaction():
        pass


def test_threads_take_turns(database: Database) -> None:
    def add(first: int) -> None:
        for number in range(first, first + 20):
            with database.transaction():
                database.write("INSERT INTO t VALUES (?, NULL)", (number,))

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.row("SELECT count(*) FROM t") == (40,)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"this is no database, whatever its name may be" * 100)
    with pytest.raises(StorageError, match="not a database"):
        open_database(tmp_path / "db")


def test_damage_inside_is_found_when_opening(tmp_path: Path) -> None:
    database = open_database(tmp_path / "db")
    with database.transaction():
        database.write("CREATE TABLE t (data BLOB)")
        for _ in range(50):
            database.write("INSERT INTO t VALUES (randomblob(900))")
    database.close()
    raw = bytearray((tmp_path / "db").read_bytes())
    raw[-20 * 4096 :] = bytes(20 * 4096)
    (tmp_path / "db").write_bytes(raw)
    with pytest.raises(StorageError, match="damaged"):
        open_database(tmp_path / "db")


def test_after_damage_nothing_more_is_written(tmp_path: Path, database: Database) -> None:
    with database.transaction():
        for _ in range(200):
            database.write("INSERT INTO t (data) VALUES (randomblob(3000))")
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    database.rows("PRAGMA shrink_memory")
    with (tmp_path / "db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size // 2)
        file.write(b"\xff" * (size // 2))
    with pytest.raises(StorageError, match="damaged"):
        database.rows("SELECT sum(length(data)) FROM t")
    with pytest.raises(StorageError, match="damaged"), database.transaction():
        pass


def test_a_missing_directory_and_a_link_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        open_database(tmp_path / "missing" / "db")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="cannot be opened"):
        open_database(tmp_path / "link")


def test_the_files_are_private(tmp_path: Path, database: Database) -> None:
    assert database.rows("SELECT n FROM t") == []
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"db": 0o600, "db-wal": 0o600, "db-shm": 0o600}


def test_an_error_without_a_code_keeps_its_words() -> None:
    assert "closed database" in translate(sqlite3.ProgrammingError("Cannot operate on a closed database.")).what
