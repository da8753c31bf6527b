# SPDX-License-Identifier: Apache-2.0
"""A device crashes, is suspended, restarts from what is durable, and its clock may be wrong."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest

from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.ownership import Role
from p2p_handoff.testing.device import CrashedError, Device
from p2p_handoff.testing.homes import EPOCH
from p2p_handoff.testing.simulation import Simulation

Pair = Sequence[Device]


async def conversation(device: Device) -> str:
    """A session of one conversation; its id."""
    path = device.things / "chat.jsonl"
    device.write(path, b'{"said":"hello"}\n')
    return (await device.begin(path)).id


async def test_a_session_is_handed_over_and_taken_back(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    assert (await laptop.to(desktop, session)).outcome == "done"
    assert (desktop.received / "chat.jsonl").read_bytes() == b'{"said":"hello"}\n'
    report = await laptop.take(session, desktop)
    assert (report.outcome, report.epoch) == ("done", 3)


async def test_what_is_asked_of_a_device_that_crashes_ends(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    handing = asyncio.create_task(laptop.to(desktop, session))
    await asyncio.sleep(0.05)
    laptop.crash()
    with pytest.raises(CrashedError, match="laptop crashed"):
        await handing
    with pytest.raises(CrashedError, match="not running"):
        await laptop.to(desktop, session)


def test_what_fails_at_the_moment_of_a_crash_is_nobodys_failure() -> None:
    async def story(simulation: Simulation) -> None:
        [laptop] = simulation.devices("laptop")
        await laptop.start()

        async def fail() -> None:
            laptop.crash()
            raise ValueError("nobody is left to hear this")

        with pytest.raises(CrashedError):
            await laptop.do(fail())

    with Simulation() as simulation:
        simulation.run(story(simulation))
        gc.collect()
        assert simulation.loop.failures == []


async def test_a_frozen_source_that_crashes_is_frozen_after_its_restart_and_resolves_it(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)

    def crash_both(device: Device, message: msg.Message) -> None:
        if isinstance(message, msg.Grant):
            desktop.crash()
            laptop.crash()

    stop_crashing = simulation.on_message(crash_both)
    with pytest.raises(CrashedError):
        await laptop.to(desktop, session)
    stop_crashing()
    await laptop.start()
    record = laptop.record(session)
    assert record is not None
    assert record.ownership.role is Role.FROZEN
    await desktop.start()
    await asyncio.sleep(60)
    record = laptop.record(session)
    assert record is not None
    assert record.ownership.role is Role.PRIMARY


async def test_cancelling_what_was_asked_cancels_it_in_the_device(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    handing = asyncio.create_task(laptop.to(desktop, session))
    await asyncio.sleep(0.1)
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing
    await asyncio.sleep(10)
    assert not laptop.agent.handoffs.active()
    record = laptop.record(session)
    assert record is not None
    assert record.ownership.role is Role.PRIMARY


async def test_a_suspended_device_is_given_up_and_goes_on_afterwards(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    handing = asyncio.create_task(laptop.to(desktop, session))
    await asyncio.sleep(0.1)
    desktop.suspend()
    await asyncio.sleep(5)
    desktop.resume()
    assert (await handing).outcome == "done"


async def test_clocks_may_differ_by_a_day(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    laptop.clock_offset = -86_400.0
    session = await conversation(laptop)
    assert (await laptop.to(desktop, session)).outcome == "done"
    record = laptop.record(session)
    assert record is not None
    assert record.created_at < EPOCH


async def test_an_edit_is_acknowledged_while_the_device_may_act(two_devices: Pair, simulation: Simulation) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    assert laptop.acknowledges(session)
    assert not desktop.acknowledges(session)
    during: list[bool] = []

    def look(device: Device, message: msg.Message) -> None:
        if isinstance(message, msg.Grant):
            during.append(laptop.acknowledges(session))

    simulation.on_message(look)
    await laptop.to(desktop, session)
    assert during == [False]
    assert desktop.acknowledges(session)
    desktop.crash()
    assert not desktop.acknowledges(session)


async def test_a_restored_home_has_forgotten_what_came_after_its_backup_and_the_files_stay(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    await desktop.stop()
    backup = desktop.back_up()
    await desktop.start()
    assert (await laptop.to(desktop, session)).outcome == "done"
    desktop.crash()
    desktop.restore(backup)
    await desktop.start()
    assert desktop.record(session) is None
    assert (desktop.received / "chat.jsonl").read_bytes() == b'{"said":"hello"}\n'
