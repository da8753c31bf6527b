# SPDX-License-Identifier: Apache-2.0
"""``history --verify`` reads a database that somebody damaged, and says where: no agent runs, nobody is asked."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from p2p_handoff.agent.verifying import verify_history
from p2p_handoff.errors import TrustError
from p2p_handoff.ids import DeviceId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.chain import decode_chain, encode_chain
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.migrations import apply, shipped
from p2p_handoff.store.store import open_store
from tests.agent.devices import Devices, Pair, deaf_to, fill, until
from tests.session.ownership_world import device, session_id

ROWS = (Path(__file__).parent.parent / "store" / "first_schema.sql").read_text(encoding="utf-8")
NAMES = {device(1).device: "laptop", device(2).device: "desktop"}
FROZEN, RELEASED, PRIMARY = session_id(2), session_id(3), session_id(1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A database with sessions in every role; ``RELEASED`` was handed from the laptop to the desktop."""
    path = tmp_path / "store.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        apply(connection, shipped()[:1])
        connection.executescript(ROWS)
    open_store(path, device(1).device).close()
    return path


def damage(home: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(home, isolation_level=None)) as connection:
        assert connection.execute(sql, values).rowcount >= 1


def verdict(home: Path, session: str) -> str:
    """The sentence; empty when all is right."""
    with open_store(home, device(1).device) as store:
        (record,) = (record for record in store.sessions.all() if record.id == session)
        try:
            verify_history(store, record, lambda found: NAMES.get(DeviceId(found), found[:8]))
        except TrustError as error:  # exit code 6
            return error.sentence
        return ""


def test_every_session_of_a_whole_database_is_right(home: Path) -> None:
    with open_store(home, device(1).device) as store:
        sessions = [record.id for record in store.sessions.all()]
    assert [verdict(home, session) for session in sessions] == [""] * 7


@pytest.mark.parametrize(("link", "signer"), [(0, "the first primary"), (1, "laptop"), (2, "desktop")])
def test_a_changed_byte_is_found_in_the_link_that_it_is_in(home: Path, link: int, signer: str) -> None:
    with open_store(home, device(1).device) as store:
        record = store.sessions.get(RELEASED)
        assert record is not None
    last = len(encode_chain(decode_chain(record.chain)[: link + 1]))
    chain = bytearray(record.chain)
    chain[last - 1] ^= 1
    damage(home, "UPDATE sessions SET chain = ? WHERE id = ?", bytes(chain), RELEASED)
    assert verdict(home, RELEASED).startswith(f"link {link} of the ownership chain, due from {signer}, is bad: ")


@pytest.mark.parametrize(
    ("sql", "session", "words"),
    [
        ("UPDATE sessions SET chain = X'' WHERE id = ?", RELEASED, "link 0"),
        ("UPDATE sessions SET chain = zeroblob(length(chain)) WHERE id = ?", RELEASED, "link 0"),
        ("UPDATE sessions SET chain = substr(chain, 1, length(chain) - 1) WHERE id = ?", RELEASED, "link 2"),
        ("UPDATE sessions SET chain = CAST(chain || X'00' AS BLOB) WHERE id = ?", RELEASED, "link 3"),
        ("UPDATE sessions SET epoch = 9 WHERE id = ?", RELEASED, "record says desktop in epoch 9"),
        ("UPDATE sessions SET owner = 'nobody' WHERE id = ?", RELEASED, "the chain ends with desktop in epoch 2"),
        ("UPDATE sessions SET role = 'primary', owner = 'me' WHERE id = ?", RELEASED, "the chain ends with desktop"),
        ("UPDATE grants SET signed = X'00' WHERE session = ?", FROZEN, "the grant is missing"),
        ("UPDATE grants SET signed = zeroblob(length(signed)) WHERE session = ?", FROZEN, "the grant is missing"),
        ("UPDATE grants SET root = zeroblob(32) WHERE session = ?", FROZEN, "another grant"),
        ("UPDATE grants SET epoch = 7 WHERE session = ?", FROZEN, "another grant"),
        ("DELETE FROM grants WHERE session = ?", FROZEN, "the grant is missing"),
    ],
)
def test_each_kind_of_damage_is_found(home: Path, sql: str, session: str, words: str) -> None:
    damage(home, sql, session)
    sentence = verdict(home, session)
    assert words in sentence
    assert "restore the data directory" in sentence
    assert verdict(home, PRIMARY) == ""


def test_another_session_s_chain_is_found(home: Path) -> None:
    damage(
        home, "UPDATE sessions SET chain = (SELECT chain FROM sessions WHERE id = ?) WHERE id = ?", PRIMARY, RELEASED
    )
    assert "another session's" in verdict(home, RELEASED)


def test_a_chain_that_is_an_older_one_is_found(home: Path) -> None:
    with open_store(home, device(1).device) as store:
        record = store.sessions.get(RELEASED)
        assert record is not None
    older = encode_chain(decode_chain(record.chain)[:1])
    damage(home, "UPDATE sessions SET chain = ? WHERE id = ?", older, RELEASED)
    assert verdict(home, RELEASED).startswith("link 1 of the ownership chain, due from laptop, is bad: ")


async def test_a_damaged_session_keeps_no_other_one_from_its_work(two_agents: Pair, devices: Devices) -> None:
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Grant)
    broken = await laptop.start([fill(devices.path("laptop", "broken"), {"a": b"a"})])
    whole = await laptop.start([fill(devices.path("laptop", "whole"), {"b": b"b"})])
    handing = asyncio.create_task(laptop.to("desktop", broken.id))
    await until(lambda: laptop.catalog.find(broken.id).ownership.role is Role.FROZEN)
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    await devices.stop("desktop")
    damage(laptop.home.database, "UPDATE grants SET signed = X'00' WHERE session = ?", broken.id)
    await devices.start("desktop")
    laptop = await devices.start("laptop")
    assert (await laptop.to("desktop", whole.id)).outcome == "done"
    assert (await laptop.parts.contributions.of(laptop.catalog.find(broken.id))).text == ""
    with pytest.raises(TrustError, match="the grant is missing or cannot be read"):
        verify_history(laptop.store, laptop.catalog.find(broken.id), laptop.peer_book.name)
