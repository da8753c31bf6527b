# SPDX-License-Identifier: Apache-2.0
"""Devices by what a person types, and the name that is said when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff import AmbiguousError, NotFoundError
from p2p_handoff.agent.peers import PeerBook
from p2p_handoff.errors import StorageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3", Identity.generate().device) as store:
        yield store


@pytest.fixture
def book(store: Store) -> PeerBook:
    return PeerBook(store, dict, lambda _device: False)


def linked(store: Store, name: str) -> DeviceId:
    public = Identity.generate().public
    store.links.add(LinkedDevice(public.device, public.to_bytes(), name, LinkKind.OWN, 0.0))
    return public.device


def test_by_name_and_by_the_beginning_of_an_id(store: Store, book: PeerBook) -> None:
    device = linked(store, "Desk")
    assert book.linked("desk").device == book.linked(device[:8].upper()).device == device
    with pytest.raises(NotFoundError):
        book.linked("nobody")


def test_two_of_one_name_are_both_named(store: Store, book: PeerBook) -> None:
    devices = [linked(store, "desk"), linked(store, "desk")]
    with pytest.raises(AmbiguousError) as caught:
        book.linked("desk")
    assert all(device[:8] in caught.value.what for device in devices)


def test_regression_a_name_is_found_also_when_the_disk_fails(
    store: Store, book: PeerBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what a warning about the disk names: that warning became a traceback."""
    device = linked(store, "desk")

    def fail(_device: DeviceId) -> None:
        raise StorageError("the disk failed under the data directory")

    monkeypatch.setattr(store.links, "get", fail)
    assert book.name(device) == device[:8]
