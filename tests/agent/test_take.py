# SPDX-License-Identifier: Apache-2.0
"""A device asks for a session: found by title or id, serialised by its primary, refused with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from p2p_handoff import RejectedError, UsageError
from p2p_handoff.limits import PEER_DEAD_AFTER
from p2p_handoff.protocol.messages import Message, Take
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.simulation import Simulation
from tests.agent.devices import Devices, Pair, event, fill, introduce, tree

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def test_a_take_into_a_directory_puts_it_there(two_agents: Pair, folder: Path, devices: Devices) -> None:
    await two_agents.laptop.start([folder])
    into = devices.path("desktop", "here")
    report = await two_agents.desktop.take("project", into=into)
    assert report.into == (str(into / "project"),)
    assert tree(into / "project") == FILES


async def test_taking_back_updates_the_session_where_it_lives(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder])
    there = Path((await desktop.take("project")).into[0])
    (there / "main.py").write_bytes(b"print('changed')\n")
    report = await laptop.take("project")
    assert (report.into, report.epoch) == ((str(folder),), 3)
    assert tree(folder) == {"main.py": b"print('changed')\n"}


async def test_own_devices_are_told_what_there_is_and_others_are_not(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], "work")
    stranger = await devices.start("stranger")
    introduce(stranger, laptop, LinkKind.OTHER)
    assert [item.title for item in await desktop.handoffs.sessions_of(laptop.device)] == ["work"]
    assert await stranger.handoffs.sessions_of(laptop.device) == ()


async def test_somebody_elses_device_may_not_take_even_by_the_full_id(two_people: Pair, folder: Path) -> None:
    laptop, desktop = two_people
    record = await laptop.start([folder])
    with pytest.raises(RejectedError, match="the settings there do not let this device take it") as caught:
        await desktop.handoffs.take(laptop.device, record.id, frozenset(), None)
    assert caught.value.reason == "policy"
    assert laptop.sessions()[0].ownership.role.value == "primary"


async def test_into_is_refused_for_a_session_that_lives_here(two_agents: Pair, folder: Path, tmp_path: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder])
    await desktop.take("project")
    with pytest.raises(UsageError, match=f"already lives at {folder}"):
        await laptop.take("project", into=tmp_path / "elsewhere")
    assert desktop.sessions()[0].ownership.role.value == "primary"


async def test_two_takes_at_once_give_the_session_to_one_and_busy_to_the_other(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    phone = await devices.start("phone")
    introduce(phone, laptop)
    introduce(phone, desktop)
    await laptop.start([folder])
    results = await asyncio.gather(
        desktop.take("project", peer="laptop"), phone.take("project", peer="laptop"), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, RejectedError)]
    assert [error.reason for error in refused] in (["busy"], ["not-primary"])
    roles = [agent.sessions()[0].ownership.role.value for agent in (desktop, phone) if agent.sessions()]
    assert roles == ["primary"]


async def test_the_source_tells_that_it_was_a_take(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder])
    told = asyncio.create_task(event(laptop, "outgoing"))
    await asyncio.sleep(0)
    report = await desktop.take("project")
    assert (await told)["txn"] == report.txn


async def test_a_device_with_handoff_switched_off_does_not_take(devices: Devices, folder: Path) -> None:
    laptop, desktop = await devices.start("laptop"), await devices.start("desktop", handoff=False)
    introduce(laptop, desktop)
    record = await laptop.start([folder])
    with pytest.raises(UsageError, match="switched off"):
        await desktop.take(record.id, peer="laptop")


async def test_a_question_that_a_dead_connection_swallowed_is_asked_again(
    two_devices: Sequence[Device], simulation: Simulation
) -> None:
    laptop, desktop = two_devices
    chat = desktop.things / "chat.jsonl"
    desktop.write(chat, b"{}\n")
    session = (await desktop.begin(chat)).id
    await desktop.to(laptop, session)
    await laptop.to(desktop, session)
    desktop.crash()  # The laptop finds out after three seconds.
    await desktop.start()
    began = simulation.loop.time()
    report = await laptop.take(session, desktop)
    assert report.outcome == "done"
    assert simulation.loop.time() - began <= PEER_DEAD_AFTER + 2


async def test_a_question_whose_answer_was_lost_moves_the_session_once(
    two_devices: Sequence[Device], simulation: Simulation
) -> None:
    laptop, desktop = two_devices
    chat = desktop.things / "chat.jsonl"
    desktop.write(chat, b"{}\n")
    session = (await desktop.begin(chat)).id

    def cut(device: Device, message: Message) -> None:
        if isinstance(message, Take):
            stop()
            simulation.loop.call_soon(simulation.cut, laptop, desktop)

    stop = simulation.on_message(cut)
    await asyncio.sleep(3)
    report = await laptop.take(session, desktop)
    assert (report.outcome, report.epoch) == ("done", 2)
    await asyncio.sleep(30)
    assert not laptop.agent.handoffs.active()
    assert not desktop.agent.handoffs.active()
