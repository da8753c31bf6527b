# SPDX-License-Identifier: Apache-2.0
"""agent.reaching: who waits for a silent device hears so in seconds, on the manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.reaching import FIRST_CONNECT_WITHIN, TELL_AFTER
from p2p_handoff.errors import UnreachableError
from p2p_handoff.limits import PEER_DEAD_AFTER
from p2p_handoff.session.ownership import Role
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.engine import SimulatedConnection
from p2p_handoff.testing.simulation import Simulation
from tests.agent.test_times import conversation, heard, role, until

Pair = Sequence[Device]


@pytest.mark.parametrize("how", ["suspended", "parted", "answers nothing", "no path"])
async def test_a_target_that_is_seen_and_silent_is_told_in_seconds_and_given_up_soon(
    simulation: Simulation, two_devices: Pair, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    await asyncio.sleep(10)
    match how:
        case "suspended":
            desktop.suspend()
        case "parted":
            simulation.part(laptop, desktop)
        case "answers nothing":
            monkeypatch.setattr(Dialer, "_answer", nothing)
        case _:
            answered = SimulatedConnection.set_answer

            async def answer_and_part(connection: SimulatedConnection, answer: str) -> None:
                await answered(connection, answer)
                simulation.part(laptop, desktop)

            monkeypatch.setattr(SimulatedConnection, "set_answer", answer_and_part)
    assert [peer.online for peer in laptop.agent.discover()] == [True]
    loop = asyncio.get_running_loop()
    began = loop.time()
    handing = asyncio.create_task(laptop.to(desktop, session))
    told = await until(lambda: heard(laptop, "silent"))
    assert told - began <= TELL_AFTER + 1
    with pytest.raises(UnreachableError, match="desktop cannot be reached"):
        await handing
    assert loop.time() - began <= FIRST_CONNECT_WITHIN + 1
    assert role(laptop, session) is Role.PRIMARY


@pytest.mark.parametrize("known", [True, False])
async def test_a_take_is_tried_as_long_as_a_push_and_ends_in_the_same_words(
    simulation: Simulation, two_devices: Pair, *, known: bool
) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop if known else desktop)
    if known:
        assert (await laptop.to(desktop, session)).outcome == "done"
    await asyncio.sleep(10)
    simulation.part(laptop, desktop)
    await asyncio.sleep(PEER_DEAD_AFTER + 1)  # What was open is known to be dead.
    loop = asyncio.get_running_loop()
    began = loop.time()
    taking = asyncio.create_task(laptop.take(session, desktop))
    told = await until(lambda: heard(laptop, "silent"))
    assert told - began <= TELL_AFTER + 1
    (silent,) = [fields for name, fields in laptop.occurrences if name == "silent"]
    assert silent["session"] == (session if known else None)
    with pytest.raises(UnreachableError, match="desktop cannot be reached"):
        await taking
    assert loop.time() - began <= FIRST_CONNECT_WITHIN + 1


async def test_a_take_reaches_a_device_that_comes_back_soon(simulation: Simulation, two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(desktop)
    await asyncio.sleep(10)
    simulation.part(laptop, desktop)
    taking = asyncio.create_task(laptop.take(session, desktop))
    await until(lambda: heard(laptop, "silent"))
    simulation.heal(laptop, desktop)
    assert (await taking).outcome == "done"
    assert role(laptop, session) is Role.PRIMARY


async def nothing(*_: object) -> None:
    """Let it happen without a consequence."""


async def test_a_device_that_answers_in_time_is_not_called_silent(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    assert (await laptop.to(desktop, session)).outcome == "done"
    await asyncio.sleep(2 * TELL_AFTER)
    assert not heard(laptop, "silent")
