# SPDX-License-Identifier: Apache-2.0
"""Rooms that are hard to find; linking as such is tested in test_device_linking_v1_4.py."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from p2p_handoff import LinkKind, NotFoundError
from p2p_handoff.agent import linking
from p2p_handoff.agent.agent import Agent
from p2p_handoff.security.link_terms import LinkResult, Purpose
from p2p_handoff.security.words import LinkCode
from tests.agent.devices import Devices, Pair


@pytest.fixture
async def apart(devices: Devices) -> Pair:
    """Two agents that know no way to each other."""
    return Pair(await devices.start("laptop"), await devices.start("desktop"))


async def own(_result: LinkResult) -> LinkKind:
    return LinkKind.OWN


async def opened(agent: Agent) -> tuple[LinkCode, asyncio.Task[object]]:
    """A fresh code, and the task that waits for the other device."""
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    async def link() -> object:
        return await agent.link(on_code=show, decide=own)

    opening: asyncio.Task[object] = asyncio.create_task(link())
    return LinkCode.parse(await shown), opening


class Lookout:
    """A network on which the announcement of a room was lost: it is heard when it is asked for often enough."""

    def __init__(self, agent: Agent, heard_after: int) -> None:
        self._url = f"ws://127.0.0.1:{agent.port}/v1"
        self._heard_after = heard_after
        self.asked = 0

    def look(self) -> None:
        self.asked += 1

    def room_urls(self, _nameplate: int) -> list[str]:
        return [self._url] if self.asked >= self._heard_after else []

    def desk(self, agent: Agent) -> linking.LinkDesk:
        """Where the agent links, looking out here."""
        return replace(agent.parts.links._desk, look=self.look, room_urls=self.room_urls)


async def test_a_room_whose_announcement_was_lost_is_asked_for_again_until_it_is_found(apart: Pair) -> None:
    laptop, desktop = apart
    code, opening = await opened(desktop)
    lookout = Lookout(desktop, heard_after=2)
    outcome = await linking.join_code(lookout.desk(laptop), Purpose.LINK, code, own)
    assert outcome.peer.device == desktop.device
    await opening
    assert lookout.asked == 2


async def test_a_room_that_is_nowhere_is_asked_for_less_and_less_often(
    apart: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "_FIND_AGAIN", 0.0)
    now, asked_at = 0.0, []

    def clock() -> float:
        nonlocal now
        now += 0.25
        return now

    desk = replace(apart.laptop.parts.links._desk, clock=clock, look=lambda: asked_at.append(now - 0.25))
    with pytest.raises(NotFoundError, match="no device shows a code with the number 42"):
        await linking.join_code(desk, Purpose.LINK, LinkCode.parse("42-acid-acid"), own)
    assert asked_at == [0.25, 1.0, 3.0, 7.0]
