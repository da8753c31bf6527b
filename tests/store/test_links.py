# SPDX-License-Identifier: Apache-2.0
"""store.links: pinned devices and tombstones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from p2p_handoff.errors import NotFoundError, TrustError
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store
from tests.session.ownership_world import device

B = LinkedDevice(device(2).device, device(2).public.to_bytes(), "desktop", LinkKind.OWN, 100.0)
C = LinkedDevice(device(3).device, device(3).public.to_bytes(), "ada's laptop", LinkKind.OTHER, 101.0)


def test_linked_devices_are_listed_by_name(store: Store) -> None:
    store.links.add(B)
    store.links.add(C)
    assert store.links.all() == (C, B)
    assert store.links.get(B.device) == B


def test_an_unknown_device_is_none_and_cannot_be_changed(store: Store) -> None:
    assert store.links.get(B.device) is None
    for change in (
        partial(store.links.rename, B.device, "x"),
        partial(store.links.seen, B.device, at=1.0, counter=1),
        partial(store.links.remove, B.device, at=1.0),
    ):
        with pytest.raises(NotFoundError):
            change()


def test_a_link_can_be_renamed(store: Store) -> None:
    store.links.add(B)
    store.links.rename(B.device, "workstation")
    assert store.links.get(B.device) == replace(B, name="workstation")


def test_the_highest_counter_of_a_peer_is_kept(store: Store) -> None:
    store.links.add(B)
    for at, counter, highest in ((200.0, 7, 7), (201.0, 6, 7), (202.0, 8, 8)):
        store.links.seen(B.device, at=at, counter=counter)
        assert store.links.get(B.device) == replace(B, last_seen=at, highest_counter=highest)


def test_linking_again_keeps_what_was_seen(store: Store) -> None:
    store.links.add(B)
    store.links.seen(B.device, at=200.0, counter=7)
    store.links.add(replace(B, kind=LinkKind.OTHER))
    link = store.links.get(B.device)
    assert link is not None
    assert (link.kind, link.highest_counter, link.last_seen) == (LinkKind.OTHER, 7, 200.0)


def test_a_revoked_device_is_gone_but_remembered(store: Store) -> None:
    store.links.add(B)
    store.links.remove(B.device, at=300.0)
    assert store.links.get(B.device) is None
    assert store.links.all() == ()
    assert store.links.is_revoked(B.device)
    assert store.links.revoked() == ((B.device, 300.0),)


def test_a_revoked_device_comes_back_only_through_a_person(store: Store) -> None:
    store.links.add(B)
    store.links.seen(B.device, at=200.0, counter=7)
    store.links.remove(B.device, at=300.0)
    with pytest.raises(TrustError, match="unlinked"):
        store.links.add(B)
    store.links.readmit(B)
    link = store.links.get(B.device)
    assert link is not None
    assert link.highest_counter == 7
    assert not store.links.is_revoked(B.device)
