# SPDX-License-Identifier: Apache-2.0
"""Rolled-back and cloned homes among real agents: noticed, held back, caught up, let in again; and as far as not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.errors import TrustError, UsageError
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.chain import decode_chain, verify_chain
from p2p_handoff.session.ownership import is_lost
from tests.agent.devices import Devices, Pair, deaf_to, fill, introduce, meet, until

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


def role(agent: Agent) -> tuple[str, int]:
    """Role and epoch of the only session."""
    own = agent.sessions()[0].ownership
    return own.role.value, own.epoch


async def confirmed(agent: Agent, by: Agent) -> None:
    """Wait until an agent's home is confirmed, and a peer knows it."""
    await until(lambda: not agent.store.counter.rolled_back)
    await until(lambda: not by._parts.old_copies.is_old(agent.device))


class Backups:
    """Copies of homes, and putting them back."""

    def __init__(self, devices: Devices, root: Path) -> None:
        self._devices = devices
        self._root = root

    async def copy(self, agent: Agent) -> None:
        """Copy a device's home as a backup does; the agent runs again when this returns."""
        await self._devices.stop(agent.name)
        shutil.copytree(agent.home.path, self._root / f"{agent.name}-backup")

    async def restore(self, agent: Agent) -> Agent:
        """The device with its older home."""
        await self._devices.stop(agent.name)
        shutil.rmtree(agent.home.path)
        shutil.copytree(self._root / f"{agent.name}-backup", agent.home.path)
        return await self._devices.start(agent.name)


@pytest.fixture
def backups(devices: Devices, tmp_path: Path) -> Backups:
    """Copies of homes."""
    return Backups(devices, tmp_path)


async def test_a_source_restored_to_before_the_handoff_learns_that_it_is_over_and_takes_part_again(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder])
    await backups.copy(laptop)
    laptop = await devices.start("laptop")
    assert (await laptop.to("desktop")).outcome == "done"
    laptop = await backups.restore(laptop)
    assert role(laptop) == ("primary", 1)
    await meet(laptop, desktop)
    await until(lambda: role(laptop) == ("secondary", 2))
    await confirmed(laptop, desktop)
    assert (await desktop.to("laptop")).outcome == "done"
    assert role(laptop) == ("primary", 3)


async def test_an_old_copy_waits_for_all_linked_devices_or_for_their_unlinking(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    laptop, desktop = two_agents
    tablet = await devices.start("tablet")
    introduce(laptop, tablet)
    await laptop.start([folder])
    await backups.copy(laptop)
    laptop = await devices.start("laptop")
    assert (await laptop.to("desktop")).outcome == "done"
    assert (await desktop.to("laptop")).outcome == "done"
    await devices.stop("tablet")
    laptop = await backups.restore(laptop)
    await meet(laptop, desktop)
    await until(lambda: [link.name for link in laptop._parts.confirmation.awaited()] == ["tablet"])
    other = await laptop.start([fill(devices.path("laptop", "other"), FILES)])
    with pytest.raises(TrustError, match="old copy"):
        await laptop.to("desktop", other.id)
    await laptop.unlink("tablet")
    await until(lambda: not laptop.store.counter.rolled_back)


async def test_a_target_restored_to_before_the_handoff_has_lost_the_session_and_cannot_act(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    laptop, desktop = two_agents
    await backups.copy(desktop)
    desktop = await devices.start("desktop")
    assert (await laptop.to("desktop", folder)).outcome == "done"
    desktop = await backups.restore(desktop)
    assert desktop.sessions() == []
    await meet(laptop, desktop)
    await until(lambda: bool(desktop.sessions()))
    assert role(desktop) == ("secondary", 2)
    assert is_lost(desktop.sessions()[0].ownership, me=desktop.device)
    await until(lambda: not desktop.store.counter.rolled_back)
    with pytest.raises(TrustError, match="lost what was in it"):
        await desktop.to("laptop")
    with pytest.raises(TrustError, match="lost what was in it"):
        await desktop.take("project")
    assert role(laptop) == ("secondary", 2)


async def test_a_target_that_lost_an_epoch_of_a_session_that_it_has_cannot_act_either(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    await desktop.to("laptop")
    await backups.copy(desktop)
    desktop = await devices.start("desktop")
    await laptop.to("desktop")
    desktop = await backups.restore(desktop)
    await meet(laptop, desktop)
    await until(lambda: role(desktop) == ("secondary", 4))
    assert is_lost(desktop.sessions()[0].ownership, me=desktop.device)


async def test_a_lost_session_goes_on_in_a_fork_of_what_is_here(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    await desktop.to("laptop")
    await backups.copy(desktop)
    desktop = await devices.start("desktop")
    await laptop.to("desktop")
    desktop = await backups.restore(desktop)
    await meet(laptop, desktop)
    await until(lambda: role(desktop) == ("secondary", 4))
    lost = desktop.sessions()[0]
    fork = await desktop.fork("project")
    assert (fork.title, fork.ownership.role.value) == ("project (fork)", "primary")
    parent = verify_chain(decode_chain(fork.chain)).parent
    assert parent is not None
    assert (parent.session, parent.epoch) == (lost.id, 4)
    assert desktop.catalog.at_path(desktop.settings.receive_dir / "project") == fork
    with pytest.raises(UsageError, match="already"):
        await desktop.fork("project")
    await until(lambda: not desktop.store.counter.rolled_back)
    assert (await desktop.to("laptop", fork.id)).outcome == "done"
    assert desktop.store.forks.open_of(lost.id) is not None, "nobody can merge it: it stays what there is"


async def test_peers_hand_nothing_to_an_old_copy_and_take_nothing_from_it(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    laptop, desktop = two_agents
    tablet = await devices.start("tablet")
    introduce(desktop, tablet)
    await backups.copy(desktop)
    desktop = await devices.start("desktop")
    await laptop.to("desktop", folder)
    await desktop.to("laptop")
    await devices.stop("tablet")
    desktop = await backups.restore(desktop)
    await meet(laptop, desktop)
    await until(lambda: laptop._parts.old_copies.is_old(desktop.device))
    with pytest.raises(TrustError, match="desktop is an old copy"):
        await laptop.to("desktop")
    with pytest.raises(TrustError, match="desktop is an old copy"):
        await laptop.handoffs.take(desktop.device, laptop.sessions()[0].id, frozenset(), None)
    await desktop.unlink("tablet")
    await until(lambda: not laptop._parts.old_copies.is_old(desktop.device))
    assert (await laptop.to("desktop")).outcome == "done"


async def test_a_frozen_source_is_answered_once_the_old_copy_of_its_target_is_confirmed(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    laptop, desktop = two_agents
    tablet = await devices.start("tablet")
    introduce(desktop, tablet)
    await backups.copy(desktop)
    desktop = await devices.start("desktop")
    await laptop.to("desktop", folder)
    await desktop.to("laptop")
    hear = deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(laptop.to("desktop"))
    await until(lambda: role(laptop) == ("frozen", 3))
    await devices.stop("tablet")
    desktop = await backups.restore(desktop)
    hear()
    await until(lambda: laptop._dialer.wire(desktop.device) is not None, 10)
    await until(lambda: desktop.store.counter.rolled_back)
    assert role(laptop) == ("frozen", 3)
    await desktop.unlink("tablet")
    assert (await handing).outcome == "failed"
    assert role(laptop) == ("primary", 3)


async def test_a_clone_and_the_original_are_told_apart_when_they_meet_a_common_peer(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    """One at a time, as two machines with one identity that are switched on in turns."""
    laptop, desktop = two_agents
    await laptop.start([folder])
    await backups.copy(laptop)
    laptop = await devices.start("laptop")
    assert (await laptop.to("desktop")).outcome == "done"
    await devices.stop("laptop")
    original = laptop.home.path.with_name("original")
    laptop.home.path.rename(original)
    shutil.copytree(original.parents[1] / "laptop-backup", laptop.home.path)
    clone = await devices.start("laptop")
    await meet(clone, desktop)
    await until(lambda: role(clone) == ("secondary", 2))
    await confirmed(clone, desktop)
    assert (await desktop.to("laptop")).outcome == "done"
    await devices.stop("laptop")
    shutil.rmtree(clone.home.path)
    original.rename(clone.home.path)
    laptop = await devices.start("laptop")
    assert role(laptop) == ("secondary", 2)
    await meet(laptop, desktop)
    await until(lambda: role(laptop) == ("secondary", 3))
    assert is_lost(laptop.sessions()[0].ownership, me=laptop.device)


async def test_a_clone_that_acts_where_no_common_peer_is_shows_as_two_histories_later(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    """What cannot be prevented is found: both histories carry the signature of the one identity."""
    laptop, desktop = two_agents
    tablet = await devices.start("tablet")
    introduce(laptop, tablet)
    introduce(desktop, tablet)
    await laptop.start([folder])
    await backups.copy(laptop)
    laptop = await devices.start("laptop")
    assert (await laptop.to("desktop")).outcome == "done"
    await devices.stop("desktop")
    laptop = await backups.restore(laptop)
    assert (await laptop.to("tablet")).outcome == "done"
    desktop = await devices.start("desktop")
    conflicts: list[str] = []
    for agent in (desktop, tablet):
        agent.on("ownership-conflict", lambda fields: conflicts.append(fields["text"]))
    await meet(desktop, tablet)
    await until(lambda: len(conflicts) >= 2)
    assert all("two histories" in text for text in conflicts)
    assert (role(desktop), role(tablet)) == (("primary", 2), ("primary", 2))
