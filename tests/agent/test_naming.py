# SPDX-License-Identifier: Apache-2.0
"""agent.naming: which session is meant where a person names one, and where not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from p2p_handoff import AmbiguousError, NotFoundError
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.naming import Naming
from p2p_handoff.ids import SessionId
from p2p_handoff.security.identity import Identity
from p2p_handoff.store.home import prepare
from p2p_handoff.store.store import Store, open_store
from tests.agent.devices import fill


@dataclass(frozen=True)
class Desk:
    """Sessions on a disk."""

    store: Store
    catalog: Catalog
    naming: Naming
    root: Path

    def start(self, name: str) -> SessionId:
        return self.catalog.start([fill(self.root / name, {"deep/down/a.txt": b"a"})], name).id


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    identity = Identity.generate()
    with open_store(tmp_path / "store.sqlite3", identity.device) as store:
        catalog = Catalog(
            store, identity, {"folder": FolderAdapter()}, prepare(tmp_path / "home").part_state, os.urandom
        )
        yield Desk(store, catalog, Naming(store, catalog), tmp_path)


def test_the_folder_that_one_stands_in_is_meant(desk: Desk) -> None:
    first, second = desk.start("first"), desk.start("second")
    assert desk.naming.meant(None, desk.root / "first").id == first
    assert desk.naming.meant(None, desk.root / "second" / "deep" / "down").id == second


def test_a_link_to_the_folder_is_the_folder(desk: Desk) -> None:
    first, _ = desk.start("first"), desk.start("second")
    (desk.root / "link").symlink_to(desk.root / "first")
    assert desk.naming.meant(None, desk.root / "link").id == first


def test_elsewhere_the_only_session_is_meant(desk: Desk) -> None:
    first, second = desk.start("first"), desk.start("second")
    desk.store.sessions.set_stopped(first, stopped=True)
    assert desk.naming.meant(None, desk.root).id == second
    assert desk.naming.meant(None).id == second


def test_a_stopped_session_is_meant_in_its_folder(desk: Desk) -> None:
    first, _ = desk.start("first"), desk.start("second")
    desk.store.sessions.set_stopped(first, stopped=True)
    assert desk.naming.meant(None, desk.root / "first").id == first


def test_where_several_may_be_meant_they_are_listed(desk: Desk) -> None:
    ids = [desk.start("first"), desk.start("second")]
    with pytest.raises(AmbiguousError) as caught:
        desk.naming.meant(None, desk.root)
    for name, session in zip(("first", "second"), ids, strict=True):
        assert f"{name} ({session[:8]})" in caught.value.sentence


def test_where_there_is_none_it_is_said_how_one_is_made(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="no session is running") as caught:
        desk.naming.meant(None, desk.root)
    assert "handoff start" in caught.value.sentence


def test_a_relative_path_is_seen_from_where_one_stands(desk: Desk) -> None:
    first = desk.start("first")
    desk.store.sessions.rename(first, "another title")
    assert desk.naming.meant("first", desk.root).id == first
    assert desk.naming.meant("../first", desk.root / "first").id == first
    with pytest.raises(NotFoundError):
        desk.naming.meant("first", desk.root / "first")
