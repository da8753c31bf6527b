# SPDX-License-Identifier: Apache-2.0
"""agent.returning: whom a device calls on after a crash; that it helps is in test_times."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from p2p_handoff.agent.returning import CALL_FOR, to_call
from p2p_handoff.agent.stagings import KEEP_STAGED
from p2p_handoff.ids import DeviceId
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.simulation import Simulation
from tests.agent.test_times import conversation, frozen

Pair = Sequence[Device]


def called(device: Device) -> tuple[DeviceId, ...]:
    return device.call(lambda agent: to_call(agent.parts.undoing._services))


async def test_a_device_that_was_in_the_middle_of_nothing_calls_nobody(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    await laptop.to(desktop, await conversation(laptop))
    desktop.crash()
    await desktop.start()
    assert called(desktop) == ()


async def test_whoever_was_met_before_the_crash_is_called_and_an_hour_later_nobody(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices
    _, handing = await frozen(simulation, laptop, desktop)
    await handing
    simulation.part(laptop, desktop)
    await desktop.start()
    assert called(desktop) == (laptop.id,)
    desktop.crash()
    await asyncio.sleep(KEEP_STAGED)
    await desktop.start()
    assert called(desktop) == ()


async def test_a_device_that_is_gone_is_looked_for_no_longer_than_a_minute(
    simulation: Simulation, two_devices: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_devices
    _, handing = await frozen(simulation, laptop, desktop)
    await handing
    laptop.crash()
    await desktop.start()
    await asyncio.sleep(CALL_FOR + 1)
    assert desktop.agent.parts.seeker._searches == {}
