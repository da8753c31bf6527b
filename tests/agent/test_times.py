# SPDX-License-Identifier: Apache-2.0
"""Deadlines on the manual clock: to the simulated second, whatever the machine is busy with."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

import pytest

from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.outgoing_connection import RECONNECT_FOR
from p2p_handoff.agent.reaching import FIRST_CONNECT_FOR
from p2p_handoff.agent.retry import MAX_DELAY
from p2p_handoff.agent.seeking import CALM_DELAY
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import EngineError, UnreachableError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import ICE_DEADLINE, OFFER_LIFETIME, PEER_DEAD_AFTER, RELAY_CONNECT_DEADLINE
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.ownership import Role
from p2p_handoff.testing.device import CrashedError, Device
from p2p_handoff.testing.engine import SimulatedConnection
from p2p_handoff.testing.simulation import Simulation

Pair = Sequence[Device]
ON_ITS_WAY = 0.05
"""Seconds that the last frames may still have been on their way: the slowest link here takes 0.02."""
MEETING = 2.0
"""Seconds after a meeting within which a doubt is resolved."""


async def conversation(device: Device) -> str:
    """A session of one conversation; its id."""
    path = device.things / "chat.jsonl"
    device.write(path, b'{"said":"hello"}\n')
    return (await device.begin(path)).id


async def until(true: Callable[[], bool], seconds: float = 3600.0) -> float:
    """Wait until something is true; returns when that was."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for may be a row of a database
            await asyncio.sleep(0.005)
    return loop.time()


def heard(device: Device, name: str) -> bool:
    return any(occurrence == name for occurrence, _ in device.occurrences)


def role(device: Device, session: str) -> Role:
    record = device.record(session)
    assert record is not None
    return record.ownership.role


@pytest.mark.parametrize("simulation_seed", range(5))
async def test_a_dead_peer_is_noticed_after_three_seconds_without_a_frame(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    await laptop.to(desktop, session)
    await asyncio.sleep(5)
    began = asyncio.get_running_loop().time()
    desktop.crash()
    noticed = await until(lambda: heard(laptop, "disconnected"))
    assert PEER_DEAD_AFTER - 1 - ON_ITS_WAY <= noticed - began <= PEER_DEAD_AFTER + ON_ITS_WAY


@pytest.mark.parametrize("simulation_seed", range(3))
async def test_a_dead_ice_attempt_ends_after_ten_seconds(
    simulation: Simulation, two_devices: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_devices
    ended: list[float] = []
    answered = SimulatedConnection.set_answer
    opened = SimulatedConnection.wait_open

    async def answer_and_part(connection: SimulatedConnection, answer: str) -> None:
        await answered(connection, answer)
        simulation.part(laptop, desktop)

    async def measured(connection: SimulatedConnection) -> None:
        began = simulation.loop.time()
        try:
            await opened(connection)
        except EngineError:
            ended.append(simulation.loop.time() - began)
            raise

    monkeypatch.setattr(SimulatedConnection, "set_answer", answer_and_part)
    monkeypatch.setattr(SimulatedConnection, "wait_open", measured)
    await asyncio.sleep(2)
    with pytest.raises(UnreachableError):
        await laptop.do(laptop.agent.handoffs.sessions_of(desktop.id))
    assert ended
    assert all(seconds == pytest.approx(ICE_DEADLINE) for seconds in ended)


async def test_an_offer_that_nobody_answers_ends_on_both_sides_after_its_lifetime(simulation: Simulation) -> None:
    laptop, desktop = simulation.devices("laptop", "desktop", kind=LinkKind.OTHER)
    for device in (laptop, desktop):
        await device.start()
    session = await conversation(laptop)
    began = asyncio.get_running_loop().time()
    report = await laptop.to(desktop, session)
    waited = round(asyncio.get_running_loop().time() - began, 6)  # The difference of two floats.
    assert report.reason == "expired"
    assert OFFER_LIFETIME <= waited <= OFFER_LIFETIME + 2
    await asyncio.sleep(1)
    assert desktop.agent.pending() == []
    assert role(laptop, session) is Role.PRIMARY


async def test_a_target_that_was_never_there_is_given_up_soon(two_devices: Pair) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    desktop.crash()
    began = asyncio.get_running_loop().time()
    with pytest.raises(UnreachableError):
        await laptop.to(desktop, session)
    assert asyncio.get_running_loop().time() - began <= FIRST_CONNECT_FOR + MAX_DELAY
    assert role(laptop, session) is Role.PRIMARY


async def test_a_target_that_goes_away_before_the_grant_is_given_up_after_the_time_to_reconnect(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)

    def crash(device: Device, message: msg.Message) -> None:
        if isinstance(message, msg.Round):
            desktop.crash()

    simulation.on_message(crash)
    began = asyncio.get_running_loop().time()
    report = await laptop.to(desktop, session)
    waited = round(asyncio.get_running_loop().time() - began, 6)  # The difference of two floats.
    assert report.outcome == "failed"
    assert RECONNECT_FOR <= waited <= PEER_DEAD_AFTER + RECONNECT_FOR + MAX_DELAY + 2
    assert role(laptop, session) is Role.PRIMARY


async def frozen(simulation: Simulation, laptop: Device, desktop: Device) -> tuple[str, asyncio.Task[object]]:
    """A source that is frozen and whose target died when the grant arrived."""
    session = await conversation(laptop)
    await asyncio.sleep(3)

    def crash(device: Device, message: msg.Message) -> None:
        if isinstance(message, msg.Grant):
            stop()
            desktop.crash()

    stop = simulation.on_message(crash)
    handing: asyncio.Task[object] = asyncio.create_task(laptop.to(desktop, session))
    await until(lambda: not desktop.is_running)
    assert role(laptop, session) is Role.FROZEN
    return session, handing


@pytest.mark.parametrize("away", [1.0, 10.0, 100.0, 10_000.0])
@pytest.mark.parametrize("simulation_seed", range(4))
async def test_a_doubt_ends_within_two_seconds_after_the_target_is_back(
    simulation: Simulation, two_devices: Pair, away: float
) -> None:
    laptop, desktop = two_devices
    session, handing = await frozen(simulation, laptop, desktop)
    await asyncio.sleep(away)
    assert role(laptop, session) is Role.FROZEN
    await desktop.start()
    # A source meets nobody before it has found that the old connection is dead.
    met = await until(lambda: heard(laptop, "disconnected"))
    resolved = await until(lambda: role(laptop, session) is Role.PRIMARY)
    assert resolved - met <= MEETING
    await handing


@pytest.mark.parametrize("source", [0, 1], ids=["one way", "the other way"])
@pytest.mark.parametrize("away", [0.1, 1.0, 2.5])
@pytest.mark.parametrize("simulation_seed", range(4))
async def test_a_target_that_is_back_before_its_silence_is_noticed_answers_at_once(
    simulation: Simulation, two_devices: Pair, away: float, source: int
) -> None:
    laptop, desktop = two_devices if source == 0 else tuple(reversed(two_devices))
    session, handing = await frozen(simulation, laptop, desktop)
    assert not heard(laptop, "disconnected")
    await asyncio.sleep(away)
    await desktop.start()
    met = asyncio.get_running_loop().time()
    resolved = await until(lambda: role(laptop, session) is Role.PRIMARY)
    assert resolved - met <= MEETING
    await handing


@pytest.mark.parametrize("simulation_seed", range(4))
async def test_a_target_that_is_back_dials_a_source_that_cannot_dial(
    simulation: Simulation, two_devices: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_devices
    session, handing = await frozen(simulation, laptop, desktop)
    await handing
    connect = Dialer.connect

    async def only_there(self: Dialer, device: DeviceId, patience: float | None = None) -> Wire:
        if device == desktop.id and self.wire(device) is None:
            raise UnreachableError("no way from here")
        return await connect(self, device, patience)

    monkeypatch.setattr(Dialer, "connect", only_there)
    await desktop.start()
    met = asyncio.get_running_loop().time()
    resolved = await until(lambda: role(laptop, session) is Role.PRIMARY)
    assert resolved - met <= MEETING


@pytest.mark.parametrize("simulation_seed", range(4))
async def test_a_doubt_ends_within_two_seconds_after_the_source_is_back(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices
    session, handing = await frozen(simulation, laptop, desktop)
    laptop.crash()
    with pytest.raises(CrashedError):
        await handing
    await desktop.start()
    await asyncio.sleep(1000)
    await laptop.start()
    met = asyncio.get_running_loop().time()
    resolved = await until(lambda: role(laptop, session) is Role.PRIMARY)
    assert resolved - met <= MEETING


@pytest.mark.parametrize("announced", [True, False], ids=["noticed", "unnoticed"])
@pytest.mark.parametrize("parted", [5.0, 47.3, 100.0])
@pytest.mark.parametrize("simulation_seed", range(4))
async def test_a_doubt_ends_within_two_seconds_after_a_partition_heals(
    simulation: Simulation, two_devices: Pair, parted: float, *, announced: bool
) -> None:
    laptop, desktop = two_devices
    session = await conversation(laptop)
    await asyncio.sleep(3)

    def part(device: Device, message: msg.Message) -> None:
        if isinstance(message, msg.Grant):
            stop()
            simulation.part(laptop, desktop)

    stop = simulation.on_message(part)
    handing = asyncio.create_task(laptop.to(desktop, session))
    await until(lambda: heard(laptop, "disconnected"))
    await asyncio.sleep(parted)
    assert role(laptop, session) is Role.FROZEN
    assert role(desktop, session) is Role.PRIMARY
    simulation.heal(laptop, desktop, announced=announced)
    met = asyncio.get_running_loop().time()
    resolved = await until(lambda: role(laptop, session) is Role.SECONDARY)
    assert resolved - met <= MEETING
    await handing


async def test_an_offer_and_a_doubt_are_told_after_the_time_to_reconnect(
    simulation: Simulation, two_devices: Pair
) -> None:
    laptop, desktop = two_devices
    began = asyncio.get_running_loop().time()
    _, handing = await frozen(simulation, laptop, desktop)
    report = await handing
    assert getattr(report, "outcome", "") == "in-doubt"
    assert asyncio.get_running_loop().time() - began <= 10 + PEER_DEAD_AFTER + RECONNECT_FOR + MAX_DELAY


@pytest.mark.parametrize("comes", ["in sight", "unseen"])
async def test_the_target_of_a_forked_session_is_dialled_rarely_and_at_once_when_there_is_a_reason(
    simulation: Simulation, two_devices: Pair, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    laptop, desktop = two_devices
    port = desktop.agent.port
    session, handing = await frozen(simulation, laptop, desktop)
    await handing
    await laptop.do(laptop.agent.fork(session))
    loop, dialled = asyncio.get_running_loop(), list[float]()
    connect = Dialer.connect

    async def counted(self: Dialer, device: DeviceId, patience: float | None = None) -> Wire:
        dialled.append(loop.time())
        return await connect(self, device, patience)

    monkeypatch.setattr(Dialer, "connect", counted)
    await asyncio.sleep(4 * 3600)
    first = next(index for index in range(len(dialled)) if dialled[index + 1] - dialled[index] > CALM_DELAY / 2)
    pauses = [after - before for before, after in itertools.pairwise(dialled[first:])]
    assert all(CALM_DELAY / 2 <= pause <= CALM_DELAY + RELAY_CONNECT_DEADLINE for pause in pauses)
    assert first <= 10  # 1 s doubles to 300 s in nine steps.
    simulation.part(laptop, desktop)
    await desktop.start(port=port)
    await asyncio.sleep(30)
    assert role(laptop, session) is Role.FROZEN
    simulation.heal(laptop, desktop, announced=comes == "in sight")
    if comes == "unseen":
        laptop.call(lambda agent: agent.parts.seeker.hurry())
    met = loop.time()
    assert await until(lambda: role(laptop, session) is Role.PRIMARY) - met <= MEETING
