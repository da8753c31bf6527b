# SPDX-License-Identifier: Apache-2.0
"""agent.overview: what two running agents say of themselves while something goes on between them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.status import DeviceStatus, Direction, SessionState, SessionStatus
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.ownership import Role
from tests.agent.devices import Devices, Pair, deaf_to, fill, meet, until
from tests.agent.test_answers import handed_over

FILES = {"a.txt": b"a" * 5000, "b/c.txt": b"c"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def session_of(agent: Agent) -> SessionStatus:
    [session] = (await agent.status()).sessions
    return session


async def device_of(agent: Agent) -> DeviceStatus:
    [device] = (await agent.status()).devices
    return device


async def test_an_agent_alone_has_nobody_and_nothing(devices: Devices) -> None:
    status = await (await devices.start("laptop")).status()
    assert (status.name, status.devices, status.sessions, status.active, status.requests) == ("laptop", (), (), (), ())
    assert (status.visible, status.keys.place.value, status.engine) == ("nobody", "file", "aiortc")


async def test_a_connected_device_is_shown_with_its_way(two_agents: Pair) -> None:
    laptop, desktop = two_agents
    assert (await device_of(laptop)).line is None
    wire = await meet(laptop, desktop)
    await until(lambda: wire.round_trip is not None, 20)
    device = await device_of(laptop)
    assert (device.peer.name, device.peer.online) == ("desktop", True)
    assert device.line is not None
    assert (device.line.engine, device.line.path) == ("aiortc", "host")
    assert device.line.round_trip is not None
    assert device.line.round_trip > 0


async def test_a_session_is_here_and_then_elsewhere(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder])
    before = await session_of(laptop)
    assert (before.title, before.epoch, before.primary, before.state) == ("project", 1, "laptop", SessionState.HERE)
    await handed_over(laptop, folder)
    there, here = await session_of(laptop), await session_of(desktop)
    assert (there.primary, there.state) == ("desktop", SessionState.ELSEWHERE)
    assert (here.epoch, here.state) == (2, SessionState.HERE)
    line = (await device_of(laptop)).line
    assert line is not None
    assert line.sent_bytes > 0


async def test_a_handoff_that_waits_for_a_person_is_under_way(two_people: Pair, folder: Path) -> None:
    laptop, desktop = two_people
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(desktop.pending()))
    leaving, arriving = await laptop.status(), await desktop.status()
    assert [item.state for item in leaving.sessions] == [SessionState.LEAVING]
    [out], [into] = leaving.active, arriving.active
    assert (out.direction, out.peer, out.title, out.connected) == (Direction.OUT, "desktop", "project", True)
    assert (into.direction, into.peer, into.title) == (Direction.IN, "laptop", "project")
    assert (out.headway.phase, into.headway.phase) == ("offered", "reviewing")
    assert [request.title for request in arriving.requests] == ["project"]
    [brief] = arriving.as_json()["requests"]
    assert (brief["wish"], brief["from"], brief["title"]) == ("push", "laptop", "project")
    assert brief["expires_in"] > 0
    desktop.reject()
    assert (await handing).outcome == "rejected"
    assert (await laptop.status()).active == ()


async def test_a_session_in_doubt_is_shown_as_that(
    two_agents: Pair, folder: Path, devices: Devices, impatient: None
) -> None:
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(handed_over(laptop, folder))
    await until(lambda: laptop.sessions()[0].ownership.role is Role.FROZEN if laptop.sessions() else False, 10)
    assert (await session_of(laptop)).state is SessionState.LEAVING
    await devices.stop("desktop")
    assert (await handing).outcome == "in-doubt"
    status = await laptop.status()
    assert [item.state for item in status.sessions] == [SessionState.IN_DOUBT]
    assert [item["target"] for item in status.unsettled.in_doubt] == ["desktop"]
    [waiting] = status.active
    assert (waiting.headway.phase, waiting.connected) == ("frozen", False)
