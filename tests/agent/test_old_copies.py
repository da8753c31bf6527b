# SPDX-License-Identifier: Apache-2.0
"""Rolled-back and cloned homes among real agents: noticed, held back, caught up, let in again; and as far as not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.doubts import lost_as_json
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.old_copies import OldCopies
from p2p_handoff.agent.telling import fork_as_json, open_forks
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import TrustError, UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import Hello
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.chain import decode_chain, verify_chain
from p2p_handoff.session.freshness import Freshness
from p2p_handoff.session.ownership import is_lost
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store, open_store
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.simulation import Simulation
from tests.agent.devices import Devices, Pair, deaf_to, fill, introduce, meet, until
from tests.session.ownership_world import device as name_of

PEER = name_of(2)

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
    await until(lambda: not by.parts.old_copies.is_old(agent.device))


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

    async def clone(self, agent: Agent) -> Agent:
        """A second agent on the copy, beside the first one."""
        home = agent.home.path.parents[1] / "clone" / "home"
        shutil.copytree(self._root / f"{agent.name}-backup", home)
        return await self._devices.start("clone")


@pytest.fixture
def backups(devices: Devices, tmp_path: Path) -> Backups:
    """Copies of homes."""
    return Backups(devices, tmp_path)


async def with_an_epoch_lost(pair: Pair, folder: Path, devices: Devices, backups: Backups) -> Agent:
    """The desktop, which owned the session a second time, and knows it from the laptop alone."""
    laptop, desktop = pair
    await laptop.to("desktop", folder)
    await desktop.to("laptop")
    await backups.copy(desktop)
    desktop = await devices.start("desktop")
    await laptop.to("desktop")
    desktop = await backups.restore(desktop)
    await meet(laptop, desktop)
    await until(lambda: role(desktop) == ("secondary", 4))
    return desktop


async def handed_over_since_the_copy(two_agents: Pair, folder: Path, devices: Devices, backups: Backups) -> Agent:
    """The laptop, whose home was copied before it handed its session to the desktop."""
    laptop = two_agents.laptop
    await laptop.start([folder])
    await backups.copy(laptop)
    laptop = await devices.start("laptop")
    assert (await laptop.to("desktop")).outcome == "done"
    return laptop


async def test_a_source_restored_to_before_the_handoff_learns_that_it_is_over_and_takes_part_again(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    desktop = two_agents.desktop
    laptop = await handed_over_since_the_copy(two_agents, folder, devices, backups)
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
    await until(lambda: [link.name for link in laptop.parts.confirmation.awaited()] == ["tablet"])
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
    desktop = await with_an_epoch_lost(two_agents, folder, devices, backups)
    assert is_lost(desktop.sessions()[0].ownership, me=desktop.device)


async def test_a_lost_session_goes_on_in_a_fork_of_what_is_here(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    desktop = await with_an_epoch_lost(two_agents, folder, devices, backups)
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


async def test_a_lost_session_that_goes_on_in_a_fork_and_that_fork_are_settled(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    desktop = await with_an_epoch_lost(two_agents, folder, devices, backups)
    assert lost_as_json(desktop.parts.around, desktop.sessions())
    fork = await desktop.fork("project")
    assert lost_as_json(desktop.parts.around, desktop.sessions()) == []
    assert open_forks(desktop.store) == []
    assert "stands by itself" in fork_as_json(desktop.store, fork)["text"]


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
    await until(lambda: laptop.parts.old_copies.is_old(desktop.device))
    with pytest.raises(TrustError, match="desktop is an old copy"):
        await laptop.to("desktop")
    with pytest.raises(TrustError, match="desktop is an old copy"):
        await laptop.handoffs.take(desktop.device, laptop.sessions()[0].id, frozenset(), None)
    await desktop.unlink("tablet")
    await until(lambda: not laptop.parts.old_copies.is_old(desktop.device))
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
    await until(lambda: laptop.parts.dialer.wire(desktop.device) is not None, 10)
    await until(lambda: desktop.store.counter.rolled_back)
    assert role(laptop) == ("frozen", 3)
    await desktop.unlink("tablet")
    assert (await handing).outcome == "failed"
    assert role(laptop) == ("primary", 3)


async def test_a_clone_and_the_original_are_told_apart_when_they_meet_a_common_peer(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    """One at a time, as two machines with one identity that are switched on in turns."""
    desktop = two_agents.desktop
    laptop = await handed_over_since_the_copy(two_agents, folder, devices, backups)
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


async def test_two_clones_that_are_there_at_once_follow_each_other_at_their_common_peer(
    two_agents: Pair, folder: Path, devices: Devices, backups: Backups
) -> None:
    """The peer keeps one connection to an identity: each of the two is judged anew when it gets it."""
    desktop = two_agents.desktop
    laptop = await handed_over_since_the_copy(two_agents, folder, devices, backups)
    noticed: list[str] = []
    desktop.on("peer-rolled-back", lambda _: noticed.append("rolled back"))
    clone = await backups.clone(laptop)
    assert (clone.device, role(clone)) == (laptop.device, ("primary", 1))
    await meet(clone, desktop)
    await until(lambda: laptop.parts.dialer.wire(desktop.device) is None)  # The clone has taken its place.
    await until(lambda: role(clone) == ("secondary", 2))
    await until(lambda: not clone.store.counter.rolled_back)
    assert noticed
    await meet(laptop, desktop)
    await until(lambda: clone.parts.dialer.wire(desktop.device) is None)
    await until(lambda: laptop.store.counter.value > clone.store.counter.value)
    await until(lambda: not laptop.store.counter.rolled_back)
    assert [role(agent) for agent in (laptop, clone, desktop)] == [("secondary", 2), ("secondary", 2), ("primary", 2)]
    # What one of them takes over the other has lost: it knows that it owned the session, and does not act on it.
    assert (await laptop.take("project", peer="desktop")).outcome == "done"
    await meet(clone, desktop)
    await until(lambda: role(clone) == ("secondary", 3))
    assert is_lost(clone.sessions()[0].ownership, me=clone.device)
    assert role(laptop) == ("primary", 3)
    with pytest.raises(TrustError):
        await clone.to("desktop")


# --- judged by one connection -----------------------------------------------------------------------


async def session_of(device: Device) -> str:
    """A session of one conversation; its id."""
    path = device.things / "chat.jsonl"
    device.write(path, b'{"said":"hello"}\n')
    return (await device.begin(path)).id


@pytest.mark.parametrize("simulation_seed", range(3))
async def test_regression_a_hello_from_before_a_handoff_that_arrives_after_it_is_no_old_copy(
    two_devices: Sequence[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_devices
    session = await session_of(laptop)
    await until(lambda: any(name == "found" for name, _ in laptop.occurrences))
    await laptop.do(laptop.agent.parts.dialer.connect(desktop.id))
    late: list[Wire] = []
    monkeypatch.setattr(laptop.agent.parts.dialer._open, "adopt", lambda _: None)
    monkeypatch.setattr(desktop.agent.parts.dialer._open, "adopt", late.append)
    await laptop.do(laptop.agent.parts.dialer._dial(desktop.id, None))
    await until(lambda: bool(late))
    monkeypatch.undo()
    assert (await laptop.to(desktop, session)).outcome == "done"
    desktop.call(lambda agent: agent.parts.dialer._open.adopt(late[0]))
    assert not desktop.agent.parts.old_copies.is_old(laptop.id)
    assert (await desktop.to(laptop, session)).outcome == "done"
    assert not any(name == "peer-rolled-back" for name, _ in desktop.occurrences)
    assert not late[0].is_open


async def with_an_old_desktop(devices: Sequence[Device]) -> str:
    """A session on the laptop, and a desktop that has forgotten that it had it and cannot be confirmed."""
    laptop, desktop, phone = devices
    session = await session_of(laptop)
    await desktop.stop()
    backup = desktop.back_up()
    await desktop.start()
    for source, target in ((laptop, desktop), (desktop, laptop)):
        assert (await source.to(target, session)).outcome == "done"
    await desktop.stop()
    desktop.restore(backup)
    phone.crash()
    await desktop.start()
    return session


async def test_regression_the_verdict_ends_with_its_connection_and_the_next_hello_is_judged(
    simulation: Simulation, three_devices: Sequence[Device]
) -> None:
    laptop, desktop, phone = three_devices
    session = await with_an_old_desktop(three_devices)
    is_old = laptop.agent.parts.old_copies.is_old
    await until(lambda: is_old(desktop.id), 60)
    simulation.cut(laptop, desktop)
    await until(lambda: not is_old(desktop.id), 60)
    with pytest.raises(TrustError, match="desktop is an old copy"):
        await laptop.to(desktop, session)
    assert laptop.acknowledges(session)
    assert sum(name == "peer-rolled-back" for name, _ in laptop.occurrences) == 1
    await phone.start()
    await until(lambda: any(name == "peer-confirmed" for name, _ in laptop.occurrences), 3600)
    assert (await laptop.to(desktop, session)).outcome == "done"


@dataclass(frozen=True, eq=False, slots=True)
class End:
    """What is asked of a wire."""

    peer: DeviceId
    seen_before: int
    hello: Hello


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store", name_of(1).device) as opened:
        yield opened


def counters(store: Store) -> OldCopies:
    """The judgement of a device that is linked with the peer."""
    store.links.add(LinkedDevice(PEER.device, PEER.public.to_bytes(), "desktop", LinkKind.OWN, 0.0))
    return OldCopies(store, Events(), lambda _: "desktop", lambda: 1.0)


def wire(copies: OldCopies, counter: int) -> Wire:
    """A new connection on which the peer shows a counter in its Hello."""
    hello = Hello((2,), "desktop", "test", (), counter, 0)
    return cast("Wire", End(PEER.device, copies.seen(PEER.device), hello))


async def test_what_was_sent_on_another_connection_is_older_and_no_old_copy(store: Store) -> None:
    copies = counters(store)
    first, second = wire(copies, 4), wire(copies, 3)
    copies.greeted(first, 4)
    assert not copies.is_clear(second)
    assert copies.shown(second, 3) is Freshness.UNCLEAR
    assert not copies.is_old(PEER.device)
    await copies.close()
    assert copies.seen(PEER.device) == 4


@pytest.mark.parametrize("in_hello", [True, False])
async def test_less_than_was_shown_on_the_same_connection_or_before_it_is_an_old_copy(
    store: Store, *, in_hello: bool
) -> None:
    copies = counters(store)
    copies.greeted(wire(copies, 4), 4)
    later = wire(copies, 3)
    assert copies.is_clear(later)
    if in_hello:
        copies.greeted(later, 3)
    else:
        copies.greeted(later, 5)
        assert copies.shown(later, 4) is Freshness.ROLLED_BACK
    assert copies.is_old(PEER.device)
    copies.closed(wire(copies, 9))
    assert copies.is_old(PEER.device), "another connection ended"
    copies.closed(later)
    assert not copies.is_old(PEER.device)
    copies.greeted(wire(copies, 3), 3)
    assert copies.is_old(PEER.device)
    await copies.close()


async def test_what_was_seen_before_a_restart_counts(store: Store) -> None:
    copies = counters(store)
    copies.greeted(wire(copies, 4), 4)
    again = OldCopies(store, Events(), lambda _: "desktop", lambda: 2.0)
    assert again.seen(PEER.device) == 4
    again.greeted(wire(again, 3), 3)
    assert again.is_old(PEER.device)
