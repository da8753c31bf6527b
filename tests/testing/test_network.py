# SPDX-License-Identifier: Apache-2.0
"""Who is in sight, who answers a visit, and linking by code over the simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from p2p_handoff.discovery.publisher import RECORD_TTL
from p2p_handoff.errors import TimedOutError, UnreachableError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import RELAY_CONNECT_DEADLINE
from p2p_handoff.security.link_terms import LinkKind, LinkResult
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.simulation import Simulation

Pair = Sequence[Device]


def in_sight(device: Device) -> set[str]:
    return {peer.name for peer in device.agent.discover() if peer.online}


def heard(device: Device, name: str) -> int:
    return sum(1 for occurrence, _ in device.occurrences if occurrence == name)


async def test_devices_come_into_sight_and_are_missed_after_a_goodbye(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    await asyncio.sleep(2)
    assert in_sight(laptop) == {"desktop"}
    await desktop.stop()
    await asyncio.sleep(1)
    assert in_sight(laptop) == set()


async def test_a_device_that_vanished_is_missed_when_its_record_expires(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    await asyncio.sleep(2)
    desktop.crash()
    await asyncio.sleep(RECORD_TTL / 2)
    assert in_sight(laptop) == {"desktop"}
    await asyncio.sleep(RECORD_TTL)
    assert in_sight(laptop) == set()


async def test_a_record_that_did_not_change_comes_back_without_a_word(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices
    await asyncio.sleep(2)
    before = heard(laptop, "found")
    simulation.part(laptop, desktop)
    await asyncio.sleep(30)
    simulation.heal(laptop, desktop)
    await asyncio.sleep(2)
    assert heard(laptop, "found") == before
    desktop.crash()
    await desktop.start()
    await asyncio.sleep(2)
    assert heard(laptop, "found") == before + 1


async def test_devices_that_started_apart_find_each_other_by_asking_again(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices
    simulation.part(laptop, desktop)
    for device in two_devices:
        device.crash()
        await device.start()
    await asyncio.sleep(300)
    assert in_sight(laptop) == set()
    simulation.heal(laptop, desktop, announced=False)
    await asyncio.sleep(3600)
    assert in_sight(laptop) == {"desktop"}


async def test_a_visit_to_nobody_is_refused_and_one_across_a_partition_takes_its_deadline(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices

    async def visit(port: int) -> None:
        async with laptop.agent.parts.relays.visit(f"ws://desktop:{port}/v1"):
            pass

    await laptop.do(visit(desktop.agent.port))
    with pytest.raises(UnreachableError, match="nobody listens"):
        await laptop.do(visit(1))
    simulation.part(laptop, desktop)
    began = simulation.loop.time()
    with pytest.raises(TimedOutError):
        await laptop.do(visit(desktop.agent.port))
    assert simulation.loop.time() - began == pytest.approx(RELAY_CONNECT_DEADLINE)


async def test_a_visitor_shows_another_face_at_every_visit(two_devices: Pair) -> None:
    laptop, desktop = two_devices

    async def visit() -> DeviceId:
        async with laptop.agent.parts.relays.visit(f"ws://desktop:{desktop.agent.port}/v1") as port:
            return port.device

    faces = {await laptop.do(visit()), await laptop.do(visit()), laptop.agent.device}
    assert len(faces) == 3


async def test_a_suspended_device_takes_connections_and_does_not_answer(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    desktop.suspend()

    async def visit() -> None:
        async with laptop.agent.parts.relays.visit(f"ws://desktop:{desktop.agent.port}/v1"):
            pass

    with pytest.raises(TimedOutError):
        await laptop.do(visit())


async def test_visitors_hear_at_once_that_the_visited_process_died(two_devices: Pair) -> None:
    laptop, desktop = two_devices

    async def visit() -> str:
        async with laptop.agent.parts.relays.visit(f"ws://desktop:{desktop.agent.port}/v1") as port:
            await port.closed.wait()
            return port.close_reason

    visiting = asyncio.create_task(laptop.do(visit()))
    await asyncio.sleep(1)
    desktop.crash()
    assert await visiting == "the connection was reset"


async def test_devices_are_linked_by_a_code_as_in_life(simulation: Simulation) -> None:
    [laptop], [desktop] = simulation.devices("laptop"), simulation.devices("desktop")
    for device in (laptop, desktop):
        await device.start()
    await link_by_code(laptop, desktop)
    assert {peer.name: peer.linked for peer in laptop.agent.discover()} == {"desktop": "own"}


async def link_by_code(laptop: Device, desktop: Device) -> None:
    """One shows a code and the other types it; both say that the other one is their own."""
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    async def decide(_result: LinkResult) -> LinkKind:
        return LinkKind.OWN

    opening = asyncio.create_task(laptop.do(laptop.agent.link(on_code=show, decide=decide)))
    await desktop.do(desktop.agent.link(await shown, decide=decide))
    await opening


async def test_linked_devices_recognise_each_other_and_strangers_see_nobody(simulation: Simulation) -> None:
    [laptop, desktop], [stranger] = simulation.devices("laptop", "desktop"), simulation.devices("stranger")
    for device in (laptop, desktop, stranger):
        await device.start()
    await asyncio.sleep(5)
    assert in_sight(laptop) == {"desktop", "stranger"}
    assert in_sight(stranger) == set()


async def test_the_last_link_that_goes_makes_a_device_visible_again(simulation: Simulation) -> None:
    [laptop, desktop], [stranger] = simulation.devices("laptop", "desktop"), simulation.devices("stranger")
    for device in (laptop, desktop, stranger):
        await device.start()
    await asyncio.sleep(5)
    await laptop.do(laptop.agent.unlink("desktop"))
    await asyncio.sleep(5)
    assert in_sight(stranger) == {"laptop"}
    assert in_sight(laptop) == {"stranger"}, "what the desktop shows to the laptop is nobody's to the laptop"
    assert in_sight(desktop) == {"laptop", "stranger"}, "it has not heard, and the laptop shows itself to everyone"


async def test_the_first_link_hides_both_at_once(simulation: Simulation) -> None:
    [laptop], [desktop] = simulation.devices("laptop"), simulation.devices("desktop")
    [stranger] = simulation.devices("stranger")
    for device in (laptop, desktop, stranger):
        await device.start()
    await asyncio.sleep(5)
    assert in_sight(stranger) == {"laptop", "desktop"}
    await link_by_code(laptop, desktop)
    await asyncio.sleep(5)
    assert in_sight(stranger) == set()
    assert in_sight(laptop) == {"desktop", "stranger"}


@pytest.mark.parametrize(("visible", "seen"), [("nobody", set()), ("linked", set()), ("everyone", {"laptop"})])
async def test_who_sees_a_device_is_a_setting(simulation: Simulation, visible: str, seen: set[str]) -> None:
    [laptop], [stranger] = simulation.devices("laptop"), simulation.devices("stranger")
    await laptop.start(visible=visible)
    await stranger.start()
    await asyncio.sleep(5)
    assert in_sight(stranger) == seen
    assert in_sight(laptop) == {"stranger"}


async def test_a_hidden_device_shows_the_room_of_its_code(simulation: Simulation) -> None:
    [laptop], [desktop] = simulation.devices("laptop"), simulation.devices("desktop")
    for device in (laptop, desktop):
        await device.start(visible="linked")
    await link_by_code(laptop, desktop)
    await asyncio.sleep(5)
    assert in_sight(laptop) == {"desktop"}


async def test_a_setting_that_is_changed_holds_at_once(simulation: Simulation) -> None:
    [laptop], [stranger] = simulation.devices("laptop"), simulation.devices("stranger")
    for device in (laptop, stranger):
        await device.start()
    await asyncio.sleep(5)
    assert in_sight(stranger) == {"laptop"}
    agent = laptop.agent

    async def choose(visible: str) -> None:
        change = agent._current.take_over(replace(agent.settings, visible=visible))
        agent.events.emit("settings", taken_over=list(change.taken_over), needs_restart=[])

    await laptop.do(choose("nobody"))
    await asyncio.sleep(5)
    assert in_sight(stranger) == set()
    await laptop.do(choose("everyone"))
    await asyncio.sleep(5)
    assert in_sight(stranger) == {"laptop"}
