# SPDX-License-Identifier: Apache-2.0
"""Ownership news between real agents: a third device resolves a doubt, strangers hear nothing, lies are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.agent import news
from p2p_handoff.agent.agent import Agent
from p2p_handoff.errors import StorageError
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session import chain as chains
from p2p_handoff.store.records import NewSession
from tests.agent.devices import Devices, Pair, event, failing, fill, heard_by, introduce, lose, meet, until
from tests.session.ownership_world import ROOT, device, handed

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


@pytest.fixture
async def tablet(devices: Devices, two_agents: Pair) -> Agent:
    """A third device of the same person."""
    agent = await devices.start("tablet")
    for other in two_agents:
        introduce(other, agent)
    return agent


def ownership(agent: Agent) -> tuple[str, int]:
    """Role and epoch of the only session."""
    own = agent.sessions()[0].ownership
    return own.role.value, own.epoch


async def in_doubt(laptop: Agent, desktop: Agent, folder: Path) -> asyncio.Task[object]:
    """The desktop has accepted, and the laptop does not hear of it from the desktop."""
    lose(laptop, msg.Accepted, msg.Resumed, msg.News, sender=desktop)
    handing: asyncio.Task[object] = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(desktop.sessions()))
    assert ownership(laptop) == ("frozen", 1)
    return handing


async def test_a_chain_from_a_third_device_resolves_the_doubt(
    two_agents: Pair, tablet: Agent, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    handing = await in_doubt(laptop, desktop, folder)
    await until(lambda: not desktop.handoffs.active())
    assert (await desktop.to("tablet")).outcome == "done"
    await devices.stop("desktop")
    assert ownership(laptop) == ("frozen", 1)
    released = asyncio.create_task(event(laptop, "released"))
    await meet(laptop, tablet)
    await released
    assert ownership(laptop) == ("secondary", 3)
    assert laptop.sessions()[0].ownership.primary == tablet.device
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)


async def test_a_chain_from_a_third_device_resolves_the_doubt_after_a_restart_and_without_the_target(
    two_agents: Pair, tablet: Agent, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    handing = await in_doubt(laptop, desktop, folder)
    await until(lambda: not desktop.handoffs.active())
    assert (await desktop.to("tablet")).outcome == "done"
    await devices.stop("desktop")
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    laptop = await devices.start("laptop")
    assert ownership(laptop)[0] == "frozen"
    await laptop.unlink("desktop")
    await meet(laptop, tablet)
    await until(lambda: ownership(laptop) == ("secondary", 3))


async def test_a_change_of_hands_is_told_to_the_devices_that_are_connected(
    two_agents: Pair, tablet: Agent, folder: Path
) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    await desktop.to("tablet")
    await meet(laptop, desktop)
    await meet(laptop, tablet)
    await until(lambda: ownership(laptop) == ("secondary", 3))
    assert (await tablet.to("desktop")).outcome == "done"
    await until(lambda: ownership(laptop) == ("secondary", 4))
    assert laptop.sessions()[0].ownership.primary == desktop.device


async def test_a_chain_that_could_not_be_stored_is_asked_for_again_on_the_same_connection(
    two_agents: Pair, tablet: Agent, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    await meet(laptop, tablet)
    learn = laptop.store.ownership.learn
    monkeypatch.setattr(news, "AGAIN_AFTER", 0.05)
    monkeypatch.setattr(laptop.store.ownership, "learn", failing(StorageError("the disk is full"), 2, learn))
    assert (await desktop.to("tablet")).outcome == "done"
    await until(lambda: ownership(laptop) == ("secondary", 3))


async def test_somebody_elses_device_hears_only_of_sessions_that_it_was_part_of(
    two_people: Pair, devices: Devices
) -> None:
    laptop, desktop = two_people
    shared = await laptop.start([fill(devices.path("laptop", "shared"), FILES)])
    await laptop.start([fill(devices.path("laptop", "diary"), FILES)])
    handing = asyncio.create_task(laptop.to("desktop", shared.id))
    await event(desktop, "request")
    desktop.accept()
    assert (await handing).outcome == "done"
    told = heard_by(desktop, msg.News)
    await laptop.parts.dialer.hang_up(desktop.device, "to meet again")
    await until(lambda: desktop.parts.dialer.wire(laptop.device) is None)
    await meet(laptop, desktop)
    await until(lambda: bool(told))
    assert [owner.session for message in told for owner in message.owners] == [shared.id]


async def test_somebody_elses_device_that_asks_for_a_chain_gets_none(two_people: Pair, devices: Devices) -> None:
    laptop, desktop = two_people
    diary = await laptop.start([fill(devices.path("laptop", "diary"), FILES)])
    answers = heard_by(desktop, msg.ChainNews)
    wire = await meet(desktop, laptop)
    wire.send(msg.AskChain(diary.id))
    await until(lambda: bool(answers))
    assert answers == [msg.ChainNews(diary.id, "", b"")]


async def test_two_histories_are_told_to_the_user_and_change_nothing(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    other = chains.create(device(7), record.id, ROOT)
    desktop.store.ownership.follow(NewSession("lie", 0.0, None, handed(other, 1, device(7), device(8)), ()))
    told = asyncio.create_task(event(laptop, "ownership-conflict"))
    await meet(laptop, desktop)
    fields = await told
    assert fields["session"] == record.id
    assert "two histories" in fields["text"]
    assert ownership(laptop) == ("primary", 1)


async def test_a_chain_that_nobody_asked_for_is_ignored(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    told = heard_by(laptop, msg.ChainNews)
    wire = await meet(desktop, laptop)
    longer = handed(chains.decode_chain(record.chain), 1, laptop.identity, desktop.identity)
    wire.send(msg.ChainNews(record.id, "", chains.encode_chain(longer)))
    await until(lambda: bool(told))
    wire.send(msg.AskChain(record.id))  # Answered in turn: what came before has been dealt with then.
    answers = heard_by(desktop, msg.ChainNews)
    await until(lambda: bool(answers))
    assert ownership(laptop) == ("primary", 1)


async def test_a_peer_that_is_no_member_may_bring_the_chain(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    witness = await devices.start("witness")
    introduce(laptop, witness, LinkKind.OTHER)
    chain = desktop.store.ownership.all_held()[0].chain
    longer = handed(chain, 5, desktop.identity, witness.identity)
    witness.store.ownership.follow(NewSession("project", 0.0, None, longer, ()))
    witness.store.counter.confirm()
    await meet(laptop, witness)
    await until(lambda: ownership(laptop) == ("secondary", 3))
