# SPDX-License-Identifier: Apache-2.0
"""Rooms of a code that are hard to find, or that somebody else is in; linking as such: test_device_linking_v1_4.py."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from p2p_handoff import LinkKind, NotFoundError, UnreachableError
from p2p_handoff.agent import code_rooms, linking
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.link_desk import LinkDesk
from p2p_handoff.limits import MAX_BURNT_CODES
from p2p_handoff.security.link import LinkExchange
from p2p_handoff.security.link_terms import LinkResult, Purpose, Role
from p2p_handoff.security.words import LinkCode
from signaling.port import Room
from tests.agent.devices import Devices, Pair, event
from tests.signaling.parties import running_relay


@pytest.fixture
async def apart(devices: Devices) -> Pair:
    """Two agents that know no way to each other."""
    return Pair(await devices.start("laptop"), await devices.start("desktop"))


@pytest.fixture
def short_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine is given to say something is cut to what a test has."""
    for module in (code_rooms, linking):
        monkeypatch.setattr(module, "LINK_ANSWER_WITHIN", 0.3)


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


@contextlib.asynccontextmanager
async def occupied(visitor: Agent, url: str, code: LinkCode) -> AsyncIterator[Room]:
    """The room of a code, with a visitor in it that says nothing by itself."""
    async with visitor.parts.relays.visit(url) as port:
        yield await port.join_room(await port.find_room(code.nameplate))


def at(agent: Agent) -> str:
    return f"ws://127.0.0.1:{agent.port}/v1"


def desk_of(agent: Agent) -> LinkDesk:
    return agent.parts.links._desk


async def told(agent: Agent, name: str) -> asyncio.Task[Mapping[str, Any]]:
    """The next event of a name, listened for from now on."""
    hearing = asyncio.create_task(event(agent, name))
    await asyncio.sleep(0)
    return hearing


class Lookout:
    """A network on which the announcement of a room was lost: it is heard when it is asked for often enough."""

    def __init__(self, agent: Agent, heard_after: int) -> None:
        self._url = at(agent)
        self._heard_after = heard_after
        self.asked = 0

    def look(self) -> None:
        self.asked += 1

    def room_urls(self, _nameplate: int) -> list[str]:
        return [self._url] if self.asked >= self._heard_after else []

    def desk(self, agent: Agent) -> LinkDesk:
        """Where the agent links, looking out here."""
        return replace(desk_of(agent), look=self.look, room_urls=self.room_urls)


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
    monkeypatch.setattr(code_rooms, "_FIND_AGAIN", 0.0)
    now, asked_at = 0.0, []

    def clock() -> float:
        nonlocal now
        now += 0.25
        return now

    desk = replace(desk_of(apart.laptop), clock=clock, look=lambda: asked_at.append(now - 0.25))
    with pytest.raises(NotFoundError, match="no device shows a code with the number 42"):
        await linking.join_code(desk, Purpose.LINK, LinkCode.parse("42-acid-acid"), own)
    assert asked_at == [0.25, 1.0, 3.0, 7.0]


@pytest.mark.usefixtures("short_of_patience")
async def test_who_joins_and_says_nothing_is_shown_out_and_both_are_told(apart: Pair) -> None:
    visitor, opener = apart
    code, opening = await opened(opener)
    tried = await told(opener, "link-tried")
    async with occupied(visitor, at(opener), code) as room:
        with pytest.raises(UnreachableError, match="said nothing") as here:
            await opening
        with pytest.raises(UnreachableError, match="the other party left the room"):
            await room.receive()
    assert "nothing was linked; make a new code" in here.value.sentence
    assert "nobody had a guess" in (await tried)["text"]


async def test_who_only_annoys_does_not_keep_codes_from_being_made(apart: Pair) -> None:
    visitor, opener = apart
    for _ in range(MAX_BURNT_CODES + 1):
        code, opening = await opened(opener)
        async with occupied(visitor, at(opener), code):
            pass  # It leaves without a word.
        with pytest.raises(UnreachableError, match="said nothing"):
            await opening
    _, opening = await opened(opener)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)


@pytest.mark.usefixtures("short_of_patience")
async def test_who_says_nothing_at_one_relay_does_not_stand_in_the_way_at_another(devices: Devices) -> None:
    async with running_relay() as url:
        opener = await devices.start("desktop", relays=(url,))
        visitor = await devices.start("visitor")
        joiner = await devices.start("laptop", peers=(f"127.0.0.1:{opener.port}",))
        code, opening = await opened(opener)
        disturbed = await told(opener, "link-disturbed")
        async with occupied(visitor, url, code):
            assert "said nothing" in (await disturbed)["text"]
            outcome = await joiner.link(code.text, decide=own)
        await opening
        assert outcome.peer.device == opener.device


@pytest.mark.usefixtures("short_of_patience")
async def test_who_falls_silent_on_the_way_burns_the_code(apart: Pair) -> None:
    visitor, opener = apart
    code, opening = await opened(opener)
    async with occupied(visitor, at(opener), code) as room:
        parameters = linking._parameters(desk_of(visitor), Role.JOINER, code, room.id, Purpose.LINK)
        for message in LinkExchange(parameters).start():
            await room.send(message)
        with pytest.raises(UnreachableError, match="the other side said nothing for"):
            await opening
    assert not opener.store.links.all()
    with pytest.raises(NotFoundError):
        async with occupied(visitor, at(opener), code):
            pass
