# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from signaling import messages as m
from signaling.hub import Hub
from signaling.messages import Farewell, RequestId, RoomEnd
from signaling.policy import SharedPolicy
from signaling.switchboard import Switchboard
from tests.signaling.parties import ALICE, BOB, seeded

ID = RequestId(1)


@dataclass
class Recorder:
    """An outlet that keeps what it gets."""

    messages: asyncio.Queue[m.FromRelay] = field(default_factory=asyncio.Queue)

    def deliver(self, message: m.FromRelay) -> None:
        self.messages.put_nowait(message)

    async def next(self) -> m.FromRelay:
        async with asyncio.timeout(5):
            return await self.messages.get()


@pytest.fixture
def hub() -> Hub:
    return Hub(Switchboard(SharedPolicy(), seeded()))


async def test_what_the_switchboard_says_reaches_the_right_outlets(hub: Hub) -> None:
    alice, bob = Recorder(), Recorder()
    sender = hub.enter(alice, ALICE.device, "192.0.2.1")
    hub.enter(bob, BOB.device, "192.0.2.2")
    hub.handle(sender, m.Send(ID, BOB.device, b"x"))
    assert await bob.next() == m.Deliver(ALICE.device, b"x")
    assert await alice.next() == m.Sent(ID)
    assert hub.counters["envelopes"] == 1


async def test_a_room_expires_by_itself(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.rooms.ROOM_LIFETIME", 0.05)
    alice = Recorder()
    hub.handle(hub.enter(alice, ALICE.device, "192.0.2.1"), m.OpenRoom(ID))
    opened = await alice.next()
    assert isinstance(opened, m.RoomOpened)
    assert await alice.next() == m.RoomClosed(opened.room, RoomEnd.EXPIRED)
    hub.close()


async def test_after_a_goodbye_an_outlet_hears_nothing(hub: Hub) -> None:
    older, newer = Recorder(), Recorder()
    stale = hub.enter(older, ALICE.device, "192.0.2.1")
    fresh = hub.enter(newer, ALICE.device, "192.0.2.1")
    hub.handle(stale, m.Presence(ID, ()))
    hub.handle(fresh, m.Send(ID, ALICE.device, b"x"))
    hub.leave(stale)
    assert await older.next() == m.Goodbye(Farewell.REPLACED)
    assert older.messages.empty()
    assert await newer.next() == m.Deliver(ALICE.device, b"x")


async def test_closing_says_goodbye_to_everyone_once(hub: Hub) -> None:
    outlets = [Recorder(), Recorder()]
    for outlet, who in zip(outlets, (ALICE, BOB), strict=True):
        hub.enter(outlet, who.device, "192.0.2.1")
    hub.close()
    hub.close()
    assert [outlet.messages.qsize() for outlet in outlets] == [1, 1]
    assert [await outlet.next() for outlet in outlets] == [m.Goodbye(Farewell.SHUTDOWN)] * 2
    assert hub.switchboard.client_count == 0
