# SPDX-License-Identifier: Apache-2.0
"""One seeded run: two or three devices, one session, handoffs and faults drawn at random, and then the promises."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from p2p_handoff.agent.report import Report
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import SessionId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.records import PartBinding
from p2p_handoff.testing.device import CrashedError, Device
from p2p_handoff.testing.disk import Moment
from p2p_handoff.testing.simulation import Simulation
from p2p_handoff.testing.witness import BrokenPromiseError, Witness, opened

DAY: Final = 86_400.0
SETTLED_WITHIN: Final = 2 * 3600.0
"""Simulated seconds after the last fault in which every doubt must be over: devices ask once an hour who is there."""
QUIET_AFTER: Final = 700.0
"""Simulated seconds in which a handoff that nobody goes on with must have ended: an offer's lifetime, and more."""
NAMES: Final = ("laptop", "desktop", "phone")


@dataclass(slots=True)
class Result:
    """What one run was."""

    seed: int
    kind: str = ""
    """What kind of story it was."""
    handoffs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    resolved_after: float = 0.0
    """Simulated seconds from the end of the faults until nobody was in doubt."""
    digest: str = ""
    """Of the trace."""
    failure: str = ""
    trace: str = ""


Action = Callable[[Any], Awaitable[None]]
"""A step of a story."""


class Story:
    """What happens in one run.

    Args:
        simulation: Where.
        source: Draws everything.
        result: Is filled in.
    """

    def __init__(self, simulation: Simulation, source: random.Random, result: Result) -> None:
        self.actions: Mapping[Action, int] = ACTIONS
        """What may happen next, and how often."""
        self.settings: Mapping[str, Any] = {}
        """Of every agent."""
        self.most_devices = len(NAMES)
        self._simulation = simulation
        self._source = source
        self._result = result
        self._kind = LinkKind.OTHER if source.random() < 0.15 else LinkKind.OWN
        self._devices: Sequence[Device] = ()
        self._session = SessionId("")
        self._witness: Witness
        self._asked: list[asyncio.Task[None]] = []
        self._number = 0
        self._agreeing = False
        """At the end people say yes to everything: whether the session can move is the question then."""

    async def tell(self) -> None:
        """Run it all."""
        await self._prepare()
        for _ in range(self._source.randint(15, 45)):
            await self._step()
            self._check_now()
        await self._stop_faults()
        await self._settle()
        await self._prove_life()
        self._witness.check_settled()
        self._result.handoffs = len(self._witness.txns())

    def _check_now(self) -> None:
        self._witness.check_now()

    async def _prepare(self) -> None:
        names = NAMES[: 3 if self._source.random() < 0.25 and self.most_devices > 2 else 2]
        self._devices = self._simulation.devices(*names, kind=self._kind)
        for device in self._devices:
            device.settings.update(self.settings)
            await self._start(device)
        first = self._devices[0]
        chat, folder = first.things / "chat.jsonl", first.things / "project"
        first.write(chat, b'{"begin":true}\n')
        paths = [chat]
        if self._source.random() < 0.3:
            first.write(folder / "begin.txt", b"begin")
            paths.append(folder)
        record = await first.begin(*paths, title="work")
        self._session = record.id
        self._witness = Witness(self._devices, record.id)

    async def _start(self, device: Device) -> None:
        try:
            await device.start()
        except (CrashedError, HandoffError) as error:
            self._simulation.trace.note(device.name, f"did not start: {type(error).__name__}")
            device.crash()
            return
        self._listen(device)

    def _listen(self, device: Device) -> None:
        device.agent.on("request", lambda fields: self._answer(device, fields))

    # --- steps --------------------------------------------------------------------------------------

    async def _step(self) -> None:
        action = self._source.choices(tuple(self.actions), tuple(self.actions.values()))[0]
        try:
            await action(self)
        except (CrashedError, HandoffError) as error:
            self._simulation.trace.note("-", f"{type(error).__name__}")
        await asyncio.sleep(self._source.choice((0.0, 0.005, 0.02, 0.05, 0.1, 0.3, 0.6, 1.0, 1.0)))

    async def _push(self) -> None:
        owner = self._owner()
        if owner is not None:
            self._ask(partial(owner.to, self._other(owner), self._session, only=self._only()), "push")
        if self._asked and self._source.random() < 0.6:
            await asyncio.wait(self._asked, timeout=5.0)

    async def _push_from_anywhere(self) -> None:
        device = self._device()
        self._ask(partial(device.to, self._other(device), self._session, only=self._only()), "push")

    async def _take(self) -> None:
        device = self._device()
        self._ask(partial(device.take, self._session, self._owner() or self._other(device)), "take")

    async def _both_at_once(self) -> None:
        owner = self._owner()
        if owner is None:
            return
        other = self._other(owner)
        self._ask(partial(owner.to, other, self._session), "push")
        await asyncio.sleep(self._source.choice((0.0, 0.01, 0.05)))
        self._ask(partial(other.take, self._session, owner), "take")

    async def _two_targets(self) -> None:
        owner = self._owner()
        if owner is None:
            return
        for other in self._devices:
            if other is not owner:
                self._ask(partial(owner.to, other, self._session), "push")
                self._ask(partial(other.take, self._session, owner), "take")

    async def _edit(self) -> None:
        self._write(self._device())

    async def _edits_of_the_owner(self) -> None:
        for _ in range(self._source.randint(1, 4)):
            owner = self._owner()
            if owner is not None:
                self._write(owner)
            await asyncio.sleep(self._source.choice((0.0, 0.01, 0.1)))

    async def _cancel(self) -> None:
        under_way = [task for task in self._asked if not task.done()]
        if under_way:
            self._fault("cancel")
            self._source.choice(under_way).cancel()

    async def _cut(self) -> None:
        one, other = self._pair()
        self._fault("cut")
        self._simulation.cut(one, other)

    async def _cut_at_message(self) -> None:
        one, other = self._pair()
        self._fault("cut at a message")
        self._simulation.link(one, other).cut_at_message(self._source.randint(1, 30))

    async def _part(self) -> None:
        one, other = self._pair()
        self._fault("partition")
        self._simulation.part(one, other)
        if self._source.random() < 0.7:
            await asyncio.sleep(self._source.choice((0.05, 1.0, 2.5, 5.0, 40.0)))
            self._simulation.heal(one, other, announced=self._source.random() < 0.5)

    async def _crash(self) -> None:
        device = self._device()
        self._fault("crash")
        device.crash()
        await self._maybe_restart(device)

    async def _crash_at_write(self) -> None:
        self._fault("crash at a write")
        moment = self._source.choice(tuple(Moment))
        self._device().disk.kill_at_write(self._source.randint(1, 8), moment)

    async def _crash_all(self) -> None:
        self._fault("crash of all")
        for device in self._devices:
            device.crash()
        await asyncio.sleep(0.1)
        for device in self._devices:
            await self._maybe_restart(device)

    async def _stop(self) -> None:
        device = self._device()
        if device.is_running and device.has_started:
            self._fault("stop")
            await asyncio.wait_for(device.stop(), 60)
            await self._maybe_restart(device)

    async def _restart(self) -> None:
        for device in self._devices:
            if not device.is_running:
                await self._start(device)

    async def _heal(self) -> None:
        for number, one in enumerate(self._devices):
            for other in self._devices[number + 1 :]:
                if self._simulation.link(one, other).is_parted:
                    self._simulation.heal(one, other)
        await self._restart()
        await asyncio.sleep(2.0)

    async def _suspend(self) -> None:
        device = self._device()
        self._fault("suspension")
        device.suspend()
        await asyncio.sleep(self._source.choice((0.02, 0.5, 2.0, 3.5, 15.0, 90.0)))
        device.resume()

    async def _jump_clock(self) -> None:
        self._fault("clock jump")
        self._device().clock_offset += self._source.choice((-DAY, DAY, -3600.0, 60.0))

    async def _fill_disk(self) -> None:
        device = self._device()
        self._fault("full disk")
        device.disk.full = True
        await asyncio.sleep(self._source.choice((0.02, 0.2, 1.0, 6.0)))
        device.disk.full = False

    # --- pieces -------------------------------------------------------------------------------------

    def _fault(self, name: str) -> None:
        self._result.faults[name] += 1
        self._simulation.trace.note("-", name)

    async def _maybe_restart(self, device: Device) -> None:
        if self._source.random() < 0.8:
            await asyncio.sleep(self._source.choice((0.01, 0.5, 4.0)))
            if not device.is_running:
                await self._start(device)

    def _device(self) -> Device:
        return self._source.choice(self._devices)

    def _other(self, device: Device) -> Device:
        return self._source.choice([other for other in self._devices if other is not device])

    def _pair(self) -> Sequence[Device]:
        return self._source.sample(self._devices, 2)

    def _owner(self) -> Device | None:
        for device in self._devices:
            if device.is_running and device.has_started:
                record = device.record(self._session)
                if record is not None and record.ownership.role is Role.PRIMARY:
                    return device
        return None

    def _only(self) -> Sequence[str]:
        return (self._source.choice(("messages", "files")),) if self._source.random() < 0.1 else ()

    def _ask(self, work: Callable[[], Coroutine[Any, Any, Report]], name: str) -> None:
        self._simulation.trace.note("-", name)
        self._asked.append(asyncio.create_task(self._outcome(work, name)))

    async def _outcome(self, work: Callable[[], Coroutine[Any, Any, Report]], name: str) -> None:
        try:
            outcome = (await work()).outcome
        except (HandoffError, CrashedError) as error:
            outcome = getattr(error, "code", "crashed")
        except asyncio.CancelledError:
            outcome = "cancelled"
        self._result.outcomes[outcome] += 1
        self._simulation.trace.note("-", f"{name}: {outcome}")

    def _answer(self, device: Device, fields: Mapping[str, Any]) -> None:
        if self._agreeing:
            return
        token = fields["token"]
        choice = self._source.choice(("yes", "yes", "some", "no", "silence"))

        def say() -> None:
            if not device.is_running or all(request.token != token for request in device.agent.pending()):
                return
            if choice == "no":
                device.call(lambda agent: agent.reject(token))
            elif choice != "silence":
                only = ("messages",) if choice == "some" else ()
                device.call(lambda agent: agent.accept(token, only=only))

        asyncio.get_running_loop().call_later(self._source.choice((0.0, 0.1, 2.0)), say)

    def _write(self, device: Device) -> None:
        """One more line, or one more file, where the session lives on a device."""
        present = [item for item in self._places(device) if item.path is not None and item.path.exists()]
        if not present:
            return
        binding = self._source.choice(present)
        assert binding.path is not None
        self._number += 1
        marker = f"<{device.name} {self._number}>".encode()
        acknowledged = device.acknowledges(binding.session)
        if binding.kind == "folder":
            device.write(binding.path / f"{device.name}-{self._number}.txt", marker)
        else:
            device.write(binding.path, b'{"said":"' + marker + b'"}\n', append=True)
        self._wrote(device, binding, marker, acknowledged=acknowledged)

    def _places(self, device: Device) -> list[PartBinding]:
        """What a person can write to on a device."""
        with opened(device) as store:
            bindings = store.sessions.bindings(self._session)
        return [binding for binding in bindings if binding.path is not None and not binding.held_by]

    def _wrote(self, device: Device, binding: PartBinding, marker: bytes, *, acknowledged: bool) -> None:
        self._witness.wrote(device, binding.part, marker, acknowledged=acknowledged)

    # --- the end ------------------------------------------------------------------------------------

    async def _stop_faults(self) -> None:
        down = [device for device in self._devices if not device.is_running]
        await self._simulation.mend(announced=self._source.random() < 0.5)
        for device in down:
            self._listen(device)

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._is_in_doubt() and loop.time() - began < SETTLED_WITHIN:  # noqa: ASYNC110 - rows of databases
            await asyncio.sleep(0.1)
        self._result.resolved_after = loop.time() - began
        if self._asked:
            await asyncio.wait(self._asked, timeout=QUIET_AFTER)
        while any(device.agent.handoffs.active() for device in self._devices):
            await asyncio.sleep(1.0)
            if loop.time() - began > QUIET_AFTER + SETTLED_WITHIN:
                raise BrokenPromiseError("I7: a handoff does not end")
        while not self._witness.is_settled():
            await asyncio.sleep(0.5)
            if loop.time() - began > QUIET_AFTER + SETTLED_WITHIN:
                break
        self._witness.check_settled()

    def _is_in_doubt(self) -> bool:
        records = [device.record(self._session) for device in self._devices]
        return any(record is not None and record.ownership.role is Role.FROZEN for record in records)

    async def _prove_life(self) -> None:
        """The session can still be handed over."""
        self._agreeing = True
        owner = self._witness.primary()
        self._write(owner)
        other = self._other(owner)
        await self._simulation.mend()
        await asyncio.sleep(3.0)
        report = await self._until_done(owner, other)
        if report != "done":
            raise BrokenPromiseError(f"I7: the session cannot be handed over any more ({report})")
        await asyncio.sleep(1.0)

    async def _until_done(self, owner: Device, other: Device) -> str:
        outcome = "never tried"
        for _ in range(3):
            handing = asyncio.create_task(owner.to(other, self._session))
            handing.add_done_callback(lambda _: None)
            while not handing.done():
                await asyncio.sleep(0.2)
                if other.agent.pending():
                    other.call(lambda agent: agent.accept(agent.pending()[0].token))
            try:
                outcome = handing.result().outcome
            except HandoffError as error:
                outcome = error.code
            if outcome == "done":
                break
            await asyncio.sleep(5.0)
        return outcome


ACTIONS: Final[Mapping[Action, int]] = {
    Story._push: 48,
    Story._push_from_anywhere: 2,
    Story._take: 16,
    Story._both_at_once: 8,
    Story._two_targets: 6,
    Story._edit: 10,
    Story._edits_of_the_owner: 8,
    Story._cancel: 4,
    Story._cut: 4,
    Story._cut_at_message: 6,
    Story._part: 4,
    Story._crash: 4,
    Story._crash_at_write: 6,
    Story._crash_all: 1,
    Story._stop: 2,
    Story._restart: 4,
    Story._heal: 8,
    Story._suspend: 3,
    Story._jump_clock: 2,
    Story._fill_disk: 2,
}
"""What may happen next, and how often."""
