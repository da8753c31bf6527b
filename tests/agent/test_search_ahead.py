# SPDX-License-Identifier: Apache-2.0
"""Searching ahead: what starts or changes is searched before anybody hands it over, and nothing waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.agent import secret_search
from p2p_handoff.agent.search_ahead import SearchAhead
from p2p_handoff.agent.secret_search import SecretSearch, build_ahead, patterns
from p2p_handoff.content.secret_search import Scope, Searcher
from p2p_handoff.errors import StorageError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.store.scans import Scans
from tests.agent.devices import Devices, Pair, event, fill, until
from tests.agent.secrets_made import private_key

SESSION, PART = SessionId("s" * 26), PartId("p1")
KEY = private_key()
FOUND = [(b"key", frozenset({"private-key"}))]


class Gate:
    """Holds every search until it opens; counts those that began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = threading.Event()
        self.open = threading.Event()
        real, gate = Searcher.hits, self

        def held(self: Searcher, blocks: Iterable[bytes], scope: Scope) -> frozenset[str]:
            gate.began.set()
            gate.open.wait()
            return real(self, blocks, scope)

        monkeypatch.setattr(Searcher, "hits", held)
        monkeypatch.setattr(secret_search, "_AT_ONCE", 0)


@pytest.fixture(autouse=True)
def built() -> None:
    """No deadline of a test pays for building the patterns."""
    patterns()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Searches wait; a glance searches nothing."""
    return Gate(monkeypatch)


async def test_what_is_searched_ahead_is_known_at_a_glance(tmp_path: Path, gate: Gate) -> None:
    folder = FolderAdapter("laptop").open(fill(tmp_path / "project", {"key": KEY}), tmp_path / "state")
    search, picture = SecretSearch(Scans(tmp_path / "searched.sqlite3")), folder.snapshot()
    ahead = SearchAhead(search)
    ahead.start(SESSION, {PART: picture})
    ahead.start(SESSION, {PART: picture})
    await asyncio.to_thread(gate.began.wait)
    assert search.glance((SESSION, PART), picture) == []
    gate.open.set()
    await until(lambda: search.glance((SESSION, PART), picture) == FOUND, 30)
    await ahead.close()


async def test_a_search_that_fails_fails_nothing_and_none_begins_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> list[tuple[bytes, frozenset[str]]]:
        raise StorageError("the disk is bad")

    folder = FolderAdapter("laptop").open(fill(tmp_path / "project", {"key": KEY}), tmp_path / "state")
    search = SecretSearch(Scans(tmp_path / "searched.sqlite3"))
    real = search.look
    ahead = SearchAhead(search)
    monkeypatch.setattr(search, "look", failing)
    ahead.start(SESSION, {PART: folder.snapshot()})
    await ahead.close()
    monkeypatch.setattr(search, "look", real)
    ahead.start(SESSION, {PART: folder.snapshot()})
    await ahead.close()
    monkeypatch.setattr(secret_search, "_AT_ONCE", 0)
    assert search.glance((SESSION, PART), folder.snapshot()) == []


async def test_a_session_that_starts_is_searched_and_so_is_what_changes_in_it(devices: Devices) -> None:
    laptop = await devices.start("laptop")
    folder = fill(devices.path("laptop", "project"), {"key": KEY})
    search = laptop.handoffs._services.secrets
    following = asyncio.create_task(event(laptop, "followed"))
    record = await laptop.start([folder], "work")
    assert record.id == (await following)["session"]
    await until(lambda: dict(search._last[record.id, PART].kinds) != {} if search._last else False, 30)
    (folder / "other").write_bytes(KEY)
    await until(lambda: {path for path, _ in search._last[record.id, PART].kinds} >= {b"key", b"other"}, 30)


async def test_an_offer_to_an_own_device_waits_for_no_search_and_the_report_lists_all(
    two_agents: Pair, devices: Devices, gate: Gate
) -> None:
    laptop, desktop = two_agents
    folder = fill(devices.path("laptop", "project"), {"key": KEY, "plain": b"text\n"})
    told: list[str] = []
    laptop.on("secrets", lambda fields: told.extend(item["path"] for item in fields["secrets"]))
    arrived = asyncio.create_task(event(desktop, "offer"))
    handing = asyncio.create_task(laptop.to("desktop", folder))
    assert (await arrived)["secrets"] == []
    assert not told
    gate.open.set()
    report = await handing
    assert report.outcome == "done"
    assert [(item["path"], item["withheld"]) for item in report.secrets] == [("key", False)]
    assert told == ["key"]


async def test_an_offer_to_somebody_else_waits_for_the_search(two_people: Pair, devices: Devices, gate: Gate) -> None:
    laptop, desktop = two_people
    folder = fill(devices.path("laptop", "project"), {"key": KEY, "plain": b"text\n"})
    order: list[str] = []
    laptop.on("offered", lambda _: order.append("offered"))
    asked = asyncio.create_task(event(desktop, "request"))
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await asyncio.to_thread(gate.began.wait)
    order.append("searched")
    gate.open.set()
    assert [item["withheld"] for item in (await asked)["secrets"]] == [True]
    desktop.accept()
    assert (await handing).outcome == "done"
    assert order == ["searched", "offered"]


def test_patterns_are_built_in_the_background() -> None:
    build_ahead()
    assert patterns() is patterns()
