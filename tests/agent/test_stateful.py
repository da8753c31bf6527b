# SPDX-License-Identifier: Apache-2.0
"""Whole agents under rules that Hypothesis chooses: the promises hold after each, and all is well in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from p2p_handoff.errors import HandoffError
from p2p_handoff.session.ownership import Role
from p2p_handoff.testing.device import CrashedError, Device
from p2p_handoff.testing.disk import Moment
from p2p_handoff.testing.link import Conditions
from p2p_handoff.testing.simulation import Simulation
from p2p_handoff.testing.witness import Witness, opened

HOUR = 3600.0
which = st.integers(0, 1)


class Devices(RuleBasedStateMachine):
    """Two devices, one conversation, and whatever can go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.simulation: Simulation
        self.devices: Sequence[Device] = ()
        self.asked: list[asyncio.Task[None]] = []
        self.lines = 0

    @initialize(seed=st.integers(0, 2**32 - 1), silent=st.sampled_from((0.0, 1.0)))
    def begin(self, seed: int, silent: float) -> None:
        self.simulation = Simulation(seed, Conditions(silent_cuts=silent))
        self.devices = self.simulation.devices("laptop", "desktop")
        self.chat = self.devices[0].things / "chat.jsonl"
        self.session = self.simulation.run(self._begin())
        self.witness = Witness(self.devices, self.session)

    async def _begin(self) -> Any:
        for device in self.devices:
            await device.start()
        self.devices[0].write(self.chat, b"{}\n")
        return (await self.devices[0].begin(self.chat, title="work")).id

    # --- rules --------------------------------------------------------------------------------------

    @rule(device=which)
    def edit(self, device: int) -> None:
        here = self.devices[device]
        path = (self.chat, self.devices[1].received / "chat.jsonl")[device]
        if not path.exists():
            return
        self.lines += 1
        marker = f"<{here.name} {self.lines}>".encode()
        acknowledged = here.acknowledges(self.session)
        here.write(path, b'{"said":"' + marker + b'"}\n', append=True)
        self.witness.wrote(here, "p1", marker, acknowledged=acknowledged)

    @rule(device=which)
    def push(self, device: int) -> None:
        here, there = self.devices[device], self.devices[1 - device]
        self._ask(lambda: here.to(there, self.session))

    @rule(device=which)
    def take(self, device: int) -> None:
        here, there = self.devices[device], self.devices[1 - device]
        self._ask(lambda: here.take(self.session, there))

    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        under_way = [task for task in self.asked if not task.done()]
        if under_way:
            under_way[number % len(under_way)].cancel()

    @rule()
    def cut(self) -> None:
        self.simulation.cut(*self.devices)

    @rule(number=st.integers(1, 25))
    def cut_at_message(self, number: int) -> None:
        self.simulation.link(*self.devices).cut_at_message(number)

    @rule()
    def part(self) -> None:
        self.simulation.part(*self.devices)

    @rule(announced=st.booleans())
    def heal(self, announced: bool) -> None:
        self.simulation.heal(*self.devices, announced=announced)

    @rule(device=which)
    def crash(self, device: int) -> None:
        self.devices[device].crash()
        self._pass(0.0)

    @rule(device=which, number=st.integers(1, 5), moment=st.sampled_from(Moment))
    def crash_at_write(self, device: int, number: int, moment: Moment) -> None:
        self.devices[device].disk.kill_at_write(number, moment)

    @rule(device=which)
    def restart(self, device: int) -> None:
        if not self.devices[device].is_running:
            self.devices[device].disk.forget_kill()
            self.simulation.run(self.devices[device].start())

    @rule(device=which, seconds=st.sampled_from((0.1, 2.0, 4.0, 60.0)))
    def suspend(self, device: int, seconds: float) -> None:
        self.devices[device].suspend()
        self._pass(seconds)
        self.devices[device].resume()

    @rule(device=which, seconds=st.sampled_from((-86_400.0, 3600.0, 86_400.0)))
    def jump_clock(self, device: int, seconds: float) -> None:
        self.devices[device].clock_offset += seconds

    @rule(seconds=st.sampled_from((0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 12.0)))
    def wait(self, seconds: float) -> None:
        self._pass(seconds)

    # --- promises -----------------------------------------------------------------------------------

    @invariant()
    def the_promises_hold(self) -> None:
        if self.devices:
            self.witness.check_now()

    @override
    def teardown(self) -> None:
        if not self.devices:
            return
        try:
            self.simulation.run(self._end())
            self.witness.check_settled()
        finally:
            self.simulation.close()

    async def _end(self) -> None:
        await self.simulation.mend()
        if self.asked:
            await asyncio.wait(self.asked)
        async with asyncio.timeout(HOUR):
            await _until(lambda: self.witness.is_settled() and not self._is_busy())
        owner = self.witness.primary()
        [other] = [device for device in self.devices if device is not owner]
        await asyncio.sleep(5)  # until each is in sight of the other
        assert (await owner.to(other, self.session)).outcome == "done"
        async with asyncio.timeout(HOUR):
            await _until(lambda: self._role(owner) is Role.SECONDARY)

    # --- pieces -------------------------------------------------------------------------------------

    def _is_busy(self) -> bool:
        return any(device.agent.handoffs.active() for device in self.devices)

    def _role(self, device: Device) -> Role | None:
        with opened(device) as store:
            record = store.sessions.get(self.session)
            return record.ownership.role if record is not None else None

    def _pass(self, seconds: float) -> None:
        self.simulation.run(asyncio.sleep(seconds))

    def _ask(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self.asked.append(self.simulation.loop.create_task(_quietly(work)))


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for are rows of two databases
        await asyncio.sleep(0.1)


async def _quietly(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Whatever comes of it: the promises are what matters."""
    try:
        await work()
    except (HandoffError, CrashedError, asyncio.CancelledError):
        return


TestDevices = Devices.TestCase
TestDevices.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
