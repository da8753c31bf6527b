# SPDX-License-Identifier: Apache-2.0
"""An agent that stops in the middle takes everything up at its next start: transfers, grants, commits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.adapters.base import Placement
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.errors import StorageError
from p2p_handoff.protocol import messages as msg
from p2p_handoff.store.store import Store
from tests.agent.devices import Devices, Pair, deaf_to, event, fill, tree, until
from tests.agent.test_session_handoff_7 import noise

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


def role(agent: Agent) -> str:
    """The role in the only session; empty where there is none."""
    sessions = agent.sessions()
    return sessions[0].ownership.role.value if sessions else ""


async def test_a_target_restarted_in_the_middle_goes_on_with_what_it_has(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    (folder / "big.bin").write_bytes(noise(12))
    handing = asyncio.create_task(laptop.to("desktop", folder))
    while (await event(desktop, "progress"))["bytes"] < 1_000_000:
        pass
    await devices.stop("desktop")
    desktop = await devices.start("desktop")
    report = await handing
    assert report.outcome == "done"
    assert tree(desktop.settings.receive_dir / "project")["big.bin"] == noise(12)
    assert role(desktop) == "primary"


async def test_a_source_restarted_before_the_grant_is_primary_and_can_begin_anew(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    (folder / "big.bin").write_bytes(noise(3))
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "progress")
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    laptop = await devices.start("laptop")
    assert role(laptop) == "primary"
    assert (await laptop.to("desktop")).outcome == "done"
    assert tree(desktop.settings.receive_dir / "project") == tree(folder)


async def test_a_frozen_source_grants_again_after_its_restart_and_the_target_takes_over(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    hear = deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: role(laptop) == "frozen")
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    hear()
    laptop = await devices.start("laptop")
    await until(lambda: role(laptop) == "secondary" and role(desktop) == "primary")
    assert laptop.sessions()[0].ownership.epoch == 2
    await until(lambda: not laptop.handoffs.active())
    assert tree(desktop.settings.receive_dir / "project") == tree(folder)


async def test_a_frozen_source_and_a_forgetful_target_thaw(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: role(laptop) == "frozen")
    await devices.stop("desktop")
    desktop = await devices.start("desktop")
    assert (await handing).outcome == "failed"
    assert (role(laptop), laptop.sessions()[0].ownership.epoch) == ("primary", 1)
    assert (await laptop.to("desktop")).outcome == "done"


async def test_a_frozen_source_learns_after_its_restart_that_the_target_accepted(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    deaf_to(laptop, msg.Accepted, msg.Resumed)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: role(desktop) == "primary")
    assert role(laptop) == "frozen"
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    laptop = await devices.start("laptop")
    await until(lambda: role(laptop) == "secondary")
    assert (role(desktop), desktop.sessions()[0].ownership.epoch) == ("primary", 2)


async def test_both_restart_with_the_grant_outstanding(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: role(laptop) == "frozen")
    await devices.stop("desktop")
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    desktop = await devices.start("desktop")
    laptop = await devices.start("laptop")
    await until(lambda: role(laptop) == "primary")
    assert role(desktop) == ""
    assert tree(folder) == FILES


async def test_what_was_accepted_and_not_in_place_is_put_in_place_at_the_next_start(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents

    async def fail(_self: Arrivals) -> None:
        raise StorageError("the disk is busy")

    place = desktop.settings.receive_dir / "project"
    with monkeypatch.context() as broken:
        broken.setattr(Arrivals, "show", fail)
        handing = asyncio.create_task(laptop.to("desktop", folder))
        told = await event(desktop, "not-in-place")
        assert "the disk is busy" in told["text"]
        assert (role(desktop), place.exists()) == ("primary", False)
        await devices.stop("desktop")
    report = await handing
    assert report.outcome == "done"
    desktop = await devices.start("desktop")
    await until(place.exists)
    assert tree(place) == FILES
    await until(lambda: not desktop.store.incoming.pending_commits())


async def test_a_session_put_in_place_after_a_restart_can_go_on(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents

    async def fail(_self: Arrivals, _store: Store) -> list[Placement]:
        raise StorageError("the disk is busy")

    with monkeypatch.context() as broken:
        broken.setattr(Arrivals, "commit", fail)
        handing = asyncio.create_task(laptop.to("desktop", folder))
        await event(desktop, "not-in-place")
        await devices.stop("desktop")
    await handing
    desktop = await devices.start("desktop")
    await until(lambda: not desktop.store.incoming.pending_commits())
    (desktop.settings.receive_dir / "project" / "main.py").write_bytes(b"print('later')\n")
    assert (await desktop.to("laptop")).epoch == 3
    assert tree(folder) == {"main.py": b"print('later')\n"}


async def test_a_request_that_waits_for_a_person_is_asked_again_after_a_restart(
    two_people: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_people
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "request")
    await devices.stop("desktop")
    desktop = await devices.start("desktop")
    await until(lambda: bool(desktop.pending()), 10)
    desktop.accept()
    assert (await handing).outcome == "done"
