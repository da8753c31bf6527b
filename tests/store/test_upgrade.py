# SPDX-License-Identifier: Apache-2.0
"""A home of the first schema, with a row of every kind, goes on with this version: nothing lost, every rule in force.

``first_schema.sql`` holds the rows. It was written by a store of schema 1 and never changes.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from p2p_handoff.errors import StorageError
from p2p_handoff.ids import PartId
from p2p_handoff.session import chain as chains
from p2p_handoff.session.ownership import Ownership, Role, Verdict
from p2p_handoff.store.database import open_database
from p2p_handoff.store.migrations import Migration, apply, shipped
from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import device, session_id, txn_id
from tests.store.store_world import MANIFEST

FIRST, *LATER = shipped()
ROWS = (Path(__file__).parent / "first_schema.sql").read_text(encoding="utf-8")
A, B, C = device(1), device(2), device(3)
Table = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A database as the first released version left it."""
    path = tmp_path / "store.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        apply(connection, [FIRST])
        connection.executescript(f"BEGIN;\n{ROWS}\nCOMMIT;")
    return path


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The same, opened by this version."""
    with open_store(home, A.device) as opened:
        yield opened


def everything(path: Path, columns: dict[str, list[str]] | None = None) -> Table:
    """All rows; of given columns only."""
    with closing(sqlite3.connect(path)) as connection:
        wanted = columns or columns_of(connection)
        return {
            table: sorted(connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall(), key=repr)
            for table, names in wanted.items()
        }


def columns_of(connection: sqlite3.Connection) -> dict[str, list[str]]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for (name,) in tables.fetchall()}


def ownership(store: Store, number: int) -> Ownership:
    record = store.sessions.get(session_id(number))
    assert record is not None
    return record.ownership


def test_the_text_of_the_first_schema_never_changes() -> None:
    pinned = "8bd2dcd743da4840b77849fc1450b7876ae8f1ca4dd364dcafcd4a10bc3b94ab"
    assert hashlib.sha256(FIRST.sql.encode()).hexdigest() == pinned


def test_the_rows_fill_every_table_of_the_first_schema(home: Path) -> None:
    assert all(everything(home).values())


def test_every_row_is_there_as_it_was(home: Path) -> None:
    with closing(sqlite3.connect(home)) as connection:
        columns = columns_of(connection)
    before = everything(home, columns)
    open_store(home, A.device).close()
    assert everything(home, columns) == before


def test_every_session_is_what_it_was(store: Store) -> None:
    roles = {record.title: (record.ownership.role, record.ownership.epoch) for record in store.sessions.all()}
    assert roles == {
        "primary": (Role.PRIMARY, 1),
        "frozen": (Role.FROZEN, 1),
        "released": (Role.SECONDARY, 2),
        "forked": (Role.FROZEN, 1),
        "fork": (Role.PRIMARY, 1),
        "arriving": (Role.PRIMARY, 2),
        "thawed": (Role.PRIMARY, 1),
    }
    assert ownership(store, 4).forked
    for record in store.sessions.all():
        assert chains.verify_chain(chains.decode_chain(record.chain)).epoch == record.ownership.epoch
        assert record.manifest == MANIFEST
    assert [record.title for record in store.sessions.all() if record.stopped] == ["thawed"]
    places = {os.fsencode(binding.path) for binding in store.sessions.bindings(session_id(6)) if binding.path}
    assert places == {b"/home/ada/caf\xe9 \xff"}


def test_every_decision_and_answer_is_what_it_was(store: Store) -> None:
    accepted, refused = store.incoming.decision(txn_id(6)), store.incoming.decision(txn_id(8))
    assert accepted is not None
    assert refused is not None
    assert (accepted.verdict, accepted.source) == (Verdict.ACCEPTED, B.device)
    assert (refused.verdict, refused.source) == (Verdict.REFUSED, C.device)
    grants = {number: store.outgoing.grant(txn_id(number)) for number in (2, 3, 4, 7)}
    outstanding = {number for number, grant in grants.items() if grant is not None and grant.answer is None}
    assert outstanding == {2, 4}
    (pending,) = store.incoming.pending_commits()
    assert (pending.session, pending.part, pending.kind) == (session_id(6), PartId("p1"), "folder")


def test_links_addresses_and_the_counter_are_what_they_were(store: Store) -> None:
    assert {link.name: link.highest_counter for link in store.links.all()} == {"desktop": 7, "Ada's laptop": 0}
    assert len(store.links.revoked()) == 1
    assert store.addresses.recent(B.device)[0] == "ws://192.168.1.7:4711/v1"
    assert store.counter.value > 10
    assert not store.counter.rolled_back


def test_a_session_that_was_frozen_before_the_upgrade_is_released_after_it(store: Store) -> None:
    outstanding = store.outgoing.grant(txn_id(2))
    assert outstanding is not None
    store.outgoing.release(session_id(2), chains.accept(B, outstanding.signed))
    assert (ownership(store, 2).role, ownership(store, 2).epoch) == (Role.SECONDARY, 2)


def test_what_was_staged_before_the_upgrade_is_put_in_place_after_it(store: Store) -> None:
    store.incoming.commit_done(txn_id(6), PartId("p1"), Path("/srv/arrived"))
    assert store.incoming.pending_commits() == ()


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("UPDATE sessions SET epoch = 1 WHERE epoch = 2", "an epoch never falls"),
        ("UPDATE decisions SET verdict = 'accepted'", "a decision never changes"),
        ("DELETE FROM decisions", "a decision never goes"),
        ("UPDATE sessions SET role = 'owner'", "CHECK"),
        ("UPDATE sessions SET frozen_txn = NULL", "CHECK"),
        ("DELETE FROM parts WHERE part = 'p1'", "FOREIGN KEY"),
    ],
)
def test_the_database_still_enforces_its_rules(home: Path, sql: str, rule: str) -> None:
    open_store(home, A.device).close()
    with closing(sqlite3.connect(home, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match=rule):
            connection.execute(sql)


def test_a_newer_database_is_refused_and_not_touched(home: Path) -> None:
    with closing(sqlite3.connect(home, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {len(shipped()) + 1}")
    before = everything(home)
    with pytest.raises(StorageError, match="newer version"):
        open_database(home)
    assert everything(home) == before


_KILLED = """
import os, signal, sqlite3, sys
from p2p_handoff.store.migrations import Migration, apply, shipped
path, number, sql = sys.argv[1], int(sys.argv[2]), sys.stdin.read()
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.create_function("killed", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
apply(connection, [*shipped()[:number - 1], Migration(number, sql + "; SELECT killed();")])
"""


def _statements(step: Migration) -> list[str]:
    found, rest = [], ""
    for line in step.sql.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


def _cuts() -> list[tuple[int, str]]:
    """Every shipped step after the first, and one of this test's own, cut off behind each of its statements."""
    own = Migration(2, "CREATE TABLE new (n INTEGER);\nUPDATE sessions SET title = 'lost';\nDROP TABLE addresses;\n")
    return [
        (step.number, "".join(_statements(step)[:count]))
        for step in (own, *LATER)
        for count in range(1, len(_statements(step)) + 1)
    ]


@pytest.mark.parametrize(("number", "sql"), _cuts())
def test_an_interrupted_upgrade_leaves_no_trace(home: Path, number: int, sql: str) -> None:
    with closing(sqlite3.connect(home, isolation_level=None)) as connection:
        apply(connection, shipped()[: number - 1])
    before = everything(home)
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(home), str(number)], input=sql, text=True, check=False)
    assert ended.returncode == -9
    assert everything(home) == before
    with open_store(home, A.device) as store:
        assert len(store.sessions.all()) == 7


def test_the_manifests_of_outstanding_grants_can_be_sent_again(store: Store) -> None:
    for number in (2, 4):
        grant = store.outgoing.grant(txn_id(number))
        assert grant is not None
        assert (grant.session, grant.manifest) == (session_id(number), MANIFEST)
