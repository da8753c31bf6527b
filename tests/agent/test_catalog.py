# SPDX-License-Identifier: Apache-2.0
"""Sessions are found by what a person types."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff import AmbiguousError, NotFoundError, StorageError, UsageError
from p2p_handoff.adapters.conversation import ConversationAdapter
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.agent.catalog import Catalog, real_place
from p2p_handoff.ids import PartId
from p2p_handoff.security.identity import Identity
from p2p_handoff.store.home import prepare
from p2p_handoff.store.store import open_store
from tests.agent.devices import fill


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    identity = Identity.generate()
    adapters = {"folder": FolderAdapter(), "conversation": ConversationAdapter()}
    with open_store(tmp_path / "store.sqlite3", identity.device) as store:
        yield Catalog(store, identity, adapters, prepare(tmp_path / "home").part_state, os.urandom)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return fill(tmp_path / "things" / "work", {"a.txt": b"a"})


def test_by_id_prefix_title_and_path(catalog: Catalog, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = catalog.start([work], "Evening Work")
    monkeypatch.chdir(work.parent)
    for text in (record.id, record.id[:6].upper(), "evening work", str(work), "./work", f"{work}/../work"):
        assert catalog.find(text).id == record.id


def test_a_path_through_a_link_is_the_same_path(catalog: Catalog, work: Path) -> None:
    record = catalog.start([work], None)
    link = work.parent / "link"
    link.symlink_to(work)
    assert catalog.find(str(link)).id == record.id


def test_a_title_comes_before_a_prefix_of_an_id(catalog: Catalog, work: Path, tmp_path: Path) -> None:
    other = catalog.start([work], None)
    named = catalog.start([fill(tmp_path / "things" / "second", {})], other.id[:4])
    assert catalog.find(other.id[:4]).id == named.id


def test_two_with_one_title_are_ambiguous_and_both_are_named(catalog: Catalog, work: Path, tmp_path: Path) -> None:
    records = [catalog.start([path], "same") for path in (work, fill(tmp_path / "things" / "second", {}))]
    with pytest.raises(AmbiguousError) as caught:
        catalog.find("same")
    assert all(record.id[:8] in caught.value.what for record in records)


@pytest.mark.parametrize("text", ["nothing", "", "\x00", "~nobody-at-all", "x" * 5000])
def test_what_fits_nothing_is_not_found(catalog: Catalog, work: Path, text: str) -> None:
    catalog.start([work], None)
    with pytest.raises(NotFoundError):
        catalog.find(text)


def test_a_path_belongs_to_one_session(catalog: Catalog, work: Path) -> None:
    catalog.start([work], None)
    with pytest.raises(UsageError, match="belongs to the session 'work'"):
        catalog.start([work], None)


def test_parts_lie_side_by_side(catalog: Catalog, work: Path) -> None:
    for inside in (work, work / "a.txt"):
        with pytest.raises(UsageError, match="overlap"):
            catalog.start([work, inside], None)


def test_a_session_has_parts(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="between 1 and"):
        catalog.start([], None)


def test_what_is_neither_folder_nor_conversation_is_refused(catalog: Catalog, work: Path) -> None:
    with pytest.raises(UsageError, match="no adapter takes it"):
        catalog.start([work / "a.txt"], None)


def test_a_path_that_is_not_there_is_not_found(catalog: Catalog, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", Path("\x00"), Path("x" * 5000)):
        with pytest.raises(NotFoundError, match="does not exist"):
            catalog.start([path], None)


def test_nothing_is_stored_when_one_of_the_paths_is_wrong(catalog: Catalog, work: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        catalog.start([work, tmp_path / "nowhere"], "half")
    with pytest.raises(NotFoundError):
        catalog.find("half")
    assert catalog.start([work], "whole").title == "whole"


def test_a_loop_of_links_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert real_place(tmp_path / "a") is None


def test_regression_a_state_directory_that_cannot_be_made_is_a_typed_error(
    catalog: Catalog, work: Path, tmp_path: Path
) -> None:
    record = catalog.start([work], None)
    state = catalog.state_dir(record.id, PartId("p2"))
    state.rmdir()
    state.touch()
    with pytest.raises(StorageError, match="cannot make"):
        catalog.state_dir(record.id, PartId("p2"))
