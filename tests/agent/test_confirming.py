# SPDX-License-Identifier: Apache-2.0
"""agent.confirming: an old copy of a home waits for every linked device, and for none that was unlinked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.agent.confirming import Confirmation
from p2p_handoff.agent.events import Events
from p2p_handoff.errors import UnreachableError
from p2p_handoff.ids import DeviceId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import device

ME, PEER, OTHER = device(1), device(2), device(3)


class World:
    """A store with two linked devices that are out of reach, and what is told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.events = Events()
        self.told: list[str] = []
        self.dialled: asyncio.Queue[DeviceId] = asyncio.Queue()
        self.events.subscribe(self._hear)
        for peer in (PEER, OTHER):
            link = LinkedDevice(peer.device, peer.public.to_bytes(), peer.device[:4], LinkKind.OWN, 0.0)
            store.links.add(link)
        self.confirmation = Confirmation(store, self.events, self._connect, os.urandom)

    def _hear(self, name: str, _fields: Mapping[str, Any]) -> None:
        self.told.append(name)

    async def _connect(self, peer: DeviceId) -> None:
        self.dialled.put_nowait(peer)
        raise UnreachableError("away")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store", ME.device) as opened:
        yield opened


@pytest.fixture
async def world(store: Store) -> AsyncIterator[World]:
    made = World(store)
    yield made
    await made.confirmation.close()


async def test_a_home_that_is_current_awaits_nobody(world: World) -> None:
    world.confirmation.look()
    assert world.confirmation.awaited() == ()
    assert world.told == []


async def test_an_old_copy_is_confirmed_when_the_last_device_was_heard(world: World) -> None:
    world.store.counter.witness(5)
    world.confirmation.look()
    world.confirmation.heard(PEER.device)
    assert [link.device for link in world.confirmation.awaited()] == [OTHER.device]
    world.confirmation.heard(OTHER.device)
    assert not world.confirmation.rolled_back
    assert world.store.counter.value > 5
    assert world.told == ["rolled-back", "home-confirmed"]


async def test_what_was_heard_before_the_rollback_was_noticed_counts(world: World) -> None:
    world.confirmation.heard(PEER.device)
    world.store.counter.witness(5)
    world.confirmation.heard(OTHER.device)
    assert not world.confirmation.rolled_back


async def test_a_device_that_is_unlinked_is_awaited_no_longer(world: World) -> None:
    world.store.counter.witness(5)
    world.confirmation.heard(PEER.device)
    world.store.links.remove(OTHER.device, at=1.0)
    world.events.emit("unlinked", device=OTHER.device)
    assert not world.confirmation.rolled_back


async def test_awaited_devices_are_dialled_again_and_again(world: World) -> None:
    world.store.counter.witness(5)
    world.confirmation.look()
    dialled = [await world.dialled.get() for _ in range(4)]
    assert sorted(dialled) == sorted([PEER.device, OTHER.device] * 2)


async def test_after_a_restart_every_device_is_awaited_anew(world: World) -> None:
    world.store.counter.witness(5)
    world.confirmation.heard(PEER.device)
    again = World(world.store)
    assert len(again.confirmation.awaited()) == 2
