# SPDX-License-Identifier: Apache-2.0
"""agent.registering: what becomes a session, what leaves the list, and what is taken up again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from p2p_handoff import NotFoundError
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.naming import Naming
from p2p_handoff.agent.registering import Registering
from p2p_handoff.agent.search_ahead import SearchAhead
from p2p_handoff.agent.secret_search import SecretSearch
from p2p_handoff.security.identity import Identity
from p2p_handoff.store.home import prepare
from p2p_handoff.store.scans import Scans
from p2p_handoff.store.store import open_store
from tests.agent.devices import fill


@dataclass(frozen=True)
class Desk:
    """A device with two folders, and what is told of its sessions."""

    naming: Naming
    registering: Registering
    work: Path
    play: Path
    told: list[tuple[str, str]] = field(default_factory=list)

    @property
    def running(self) -> list[str]:
        """Titles of sessions on the list."""
        return sorted(record.title for record in self.naming.running())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    identity, events = Identity.generate(), Events()
    with open_store(tmp_path / "store.sqlite3", identity.device) as store:
        catalog = Catalog(
            store, identity, {"folder": FolderAdapter()}, prepare(tmp_path / "home").part_state, os.urandom
        )
        naming = Naming(store, catalog)
        work, play = (fill(tmp_path / name, {"a.txt": b"a"}) for name in ("work", "play"))
        ahead = SearchAhead(SecretSearch(Scans(tmp_path / "searched.sqlite3")))
        made = Desk(naming, Registering(store, catalog, naming, events, ahead), work, play)
        events.subscribe(lambda name, fields: made.told.append((name, fields["title"])))
        yield made


async def test_what_starts_and_stops_is_told(desk: Desk) -> None:
    record = await desk.registering.start([desk.work], "evening")
    assert desk.running == ["evening"]
    desk.registering.stop(record)
    assert desk.running == []
    assert desk.told == [("session-started", "evening"), ("session-stopped", "evening")]


async def test_a_session_that_was_stopped_is_taken_up_again(desk: Desk) -> None:
    record = await desk.registering.start([desk.work])
    desk.registering.stop(record)
    assert (await desk.registering.start([desk.work])).id == record.id
    assert desk.running == ["work"]


async def test_a_stopped_session_that_is_meant_by_its_title_is_taken_up_again(desk: Desk) -> None:
    record = await desk.registering.start([desk.work])
    desk.registering.stop(record)
    assert (await desk.registering.meant("work")).id == record.id
    assert desk.running == ["work"]


async def test_a_path_that_is_in_no_session_becomes_one(desk: Desk) -> None:
    await desk.registering.start([desk.work])
    assert (await desk.registering.meant("play", desk.play.parent)).title == "play"
    assert desk.running == ["play", "work"]


async def test_the_folder_that_one_stands_in_becomes_a_session_or_is_in_one_already(desk: Desk) -> None:
    first = await desk.registering.meant(None, desk.work)
    assert (await desk.registering.meant(None, desk.work)).id == first.id
    assert desk.running == ["work"]


async def test_what_is_no_path_becomes_no_session(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await desk.registering.meant("nothing", desk.work)
    assert desk.running == []
