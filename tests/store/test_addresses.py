# SPDX-License-Identifier: Apache-2.0
"""store.addresses: the newest eight, newest first."""

from __future__ import annotations

import pytest

from p2p_handoff.errors import LocalProtocolError
from p2p_handoff.store.addresses import MAX_ADDRESSES
from p2p_handoff.store.store import Store
from tests.store.test_links import B, C


@pytest.fixture
def linked(store: Store) -> Store:
    store.links.add(B)
    store.links.add(C)
    return store


def test_the_newest_comes_first_and_the_oldest_is_forgotten(linked: Store) -> None:
    for number in range(MAX_ADDRESSES + 3):
        linked.addresses.remember(B.device, f"wss://relay{number}", at=float(number))
    linked.addresses.remember(B.device, "wss://relay5", at=99.0)
    assert linked.addresses.recent(B.device) == tuple(f"wss://relay{n}" for n in (5, 10, 9, 8, 7, 6, 4, 3))
    assert linked.addresses.recent(C.device) == ()


def test_an_address_that_leads_nowhere_is_dropped(linked: Store) -> None:
    linked.addresses.remember(B.device, "wss://relay", at=1.0)
    linked.addresses.forget(B.device, "wss://relay")
    linked.addresses.forget(B.device, "wss://relay")
    assert linked.addresses.recent(B.device) == ()


def test_addresses_go_with_the_link(linked: Store) -> None:
    linked.addresses.remember(B.device, "wss://relay", at=1.0)
    linked.links.remove(B.device, at=2.0)
    assert linked.addresses.recent(B.device) == ()


def test_only_linked_devices_have_addresses(store: Store) -> None:
    with pytest.raises(LocalProtocolError):
        store.addresses.remember(B.device, "wss://relay", at=1.0)
