# SPDX-License-Identifier: Apache-2.0
"""Stories in which the past counts: sessions that are forked and reunited, states brought back, homes restored."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from p2p_handoff.errors import HandoffError, TrustError
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol.messages import Grant, Message, Ready
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.journal import ForkState
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.generations import Cause
from p2p_handoff.store.records import PartBinding
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.simulation import Simulation
from p2p_handoff.testing.witness import BrokenPromiseError, Edit, Witness, opened, visible
from tests.simulate.story import ACTIONS, QUIET_AFTER, SETTLED_WITHIN, Result, Story

ALL_KEPT: Final = 1000
"""Earlier states of a session that stay: more than one story makes."""


class ForkStory(Story):
    """Targets are given up while they are silent, both sides go on, and fork and original come together again.

    Each fork is a session with promises of its own. Once it is over, what was acknowledged in it was acknowledged in
    its original.
    """

    def __init__(self, simulation: Simulation, source: random.Random, result: Result) -> None:
        super().__init__(simulation, source, result)
        self._kind = LinkKind.OWN
        self.actions = {**ACTIONS, ForkStory._fork_in_doubt: 12, ForkStory._fork: 6}
        self._forks: dict[SessionId, Witness] = {}
        self._forked: list[tuple[float, SessionId, Edit]] = []
        """Edits made in forks, and when."""
        self._offered: dict[SessionId, float] = {}
        """When each fork was last offered to be merged."""

    async def _fork(self) -> None:
        for device in self._devices:
            if device.is_running and device.has_started:
                record = device.record(self._session)
                if record is not None and record.ownership.role is Role.FROZEN:
                    await self._force(device)

    async def _fork_in_doubt(self) -> None:
        owner = self._owner()
        if owner is None:
            return
        other = self._other(owner)
        when = self._source.choice((Grant, Ready))  # The target accepts, and nobody hears it; or hears no grant.

        def part(_device: Device, message: Message) -> None:
            if isinstance(message, when):
                stop()
                self._simulation.part(owner, other)

        stop = self._simulation.on_message(part)
        self._ask(partial(owner.to, other, self._session), "push")
        await asyncio.sleep(self._source.choice((1.0, 5.0)))
        stop()
        await self._force(owner)
        for _ in range(self._source.randint(1, 3)):
            self._write(self._source.choice((owner, other)))
        if self._source.random() < 0.7:
            await asyncio.sleep(self._source.choice((0.0, 1.0, 40.0)))
            self._simulation.heal(owner, other, announced=self._source.random() < 0.5)

    async def _force(self, device: Device) -> None:
        await device.do(device.agent.fork(self._session))
        self._fault("fork")

    @override
    def _only(self) -> Sequence[str]:
        return ()  # A part that stays behind has another holder in each of the two.

    @override
    def _listen(self, device: Device) -> None:
        super()._listen(device)
        device.agent.on("outgoing", self._noted_offer)

    def _noted_offer(self, fields: Mapping[str, Any]) -> None:
        self._offered[fields["session"]] = asyncio.get_running_loop().time()

    @override
    def _check_now(self) -> None:
        super()._check_now()
        for device in self._devices:
            with opened(device) as store:
                for fork in store.forks.of(self._session):
                    self._forks.setdefault(fork.fork, Witness(self._devices, fork.fork))
        for witness in self._forks.values():
            witness.check_now()

    @override
    def _places(self, device: Device) -> list[PartBinding]:
        with opened(device) as store:
            here = [fork.fork for fork in store.forks.of(self._session) if fork.state is ForkState.OPEN]
            bindings = [binding for fork in here for binding in store.sessions.bindings(fork)]
        return super()._places(device) + [item for item in bindings if item.path is not None and not item.held_by]

    @override
    def _wrote(self, device: Device, binding: PartBinding, marker: bytes, *, acknowledged: bool) -> None:
        if binding.session == self._session:
            super()._wrote(device, binding, marker, acknowledged=acknowledged)
            return
        edit = Edit(marker, device, binding.part, acknowledged)
        self._forked.append((asyncio.get_running_loop().time(), binding.session, edit))

    @override
    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while any(device.agent.store.forks.open() for device in self._devices):
            await asyncio.sleep(0.5)
            if loop.time() - began > QUIET_AFTER + SETTLED_WITHIN:
                raise BrokenPromiseError("I7: a fork and its original do not come together")
        for made_at, fork, edit in self._forked:
            # What is written behind the last offer counts as an edit of the original's copy there.
            merged = edit.acknowledged and made_at < self._offered.get(fork, loop.time())
            self._witness.wrote(edit.device, edit.part, edit.marker, acknowledged=merged)
        await super()._settle()


class UndoStory(Story):
    """Earlier states are brought back. All of them are kept here, so that nothing at all is ever gone."""

    def __init__(self, simulation: Simulation, source: random.Random, result: Result) -> None:
        super().__init__(simulation, source, result)
        self.settings = {"keep_generations": ALL_KEPT}
        self.actions = {**ACTIONS, UndoStory._undo: 12, UndoStory._undo_twice: 4}
        self._arriving: dict[str, set[bytes]] = {}
        """What was to be seen on a device when the handoff that comes in there began."""
        self._replaced: dict[str, set[bytes]] = {}
        """What was to be seen there when the last one began that was put in place."""

    async def _undo(self) -> None:
        device = self._owner()
        if device is not None:
            back = self._replaced.pop(device.name, set())
            handed = [item.kept.cause for item in device.agent.generations(self._session)][-1:] == [Cause.HANDOFF]
            await self._bring_back(device, None)
            if handed:
                self._check_back(device, back)

    async def _undo_twice(self) -> None:
        device = self._owner()
        if device is not None:
            here = self._markers(device)
            replaced = await self._bring_back(device, None)
            await self._bring_back(device, replaced)
            self._check_back(device, here)

    async def _bring_back(self, device: Device, generation: int | None) -> int:
        self._replaced.pop(device.name, None)
        try:
            undone = await device.do(device.agent.undo(self._session, generation=generation))
        finally:
            self._witness.undone()  # Also where it failed: a restart puts in place what was decided.
        self._fault("undo")
        return undone.kept_as

    def _check_back(self, device: Device, markers: set[bytes]) -> None:
        if missing := markers - self._markers(device):
            raise BrokenPromiseError(f"an undo on {device.name} did not bring back {min(missing)!r}")

    def _markers(self, device: Device) -> set[bytes]:
        here = visible(device)
        return {edit.marker for edit in self._witness.edits if edit.marker in here}

    @override
    def _listen(self, device: Device) -> None:
        super()._listen(device)
        self._arriving.pop(device.name, None)
        self._replaced.pop(device.name, None)
        device.agent.on("incoming", lambda _: self._begins(device))
        device.agent.on("handoff", lambda fields: self._arrived(device, fields))

    def _begins(self, device: Device) -> None:
        self._arriving[device.name] = self._markers(device)

    def _arrived(self, device: Device, fields: Mapping[str, Any]) -> None:
        if (fields["direction"], fields["outcome"]) == ("in", "done"):
            self._replaced[device.name] = self._arriving.pop(device.name, set())


class RestoredStory(Story):
    """One device's home is put back to what it was, again and again. Where no third device is, nobody can sign two
    histories.

    What is promised then is in docs/specs/ownership.md §7: a restored home does not stay primary beside a later one,
    no epoch gets a second owner, and nothing of the other device is lost. A session of which the restored home
    forgot that it owns it is lost, and nobody acts on it.
    """

    def __init__(self, simulation: Simulation, source: random.Random, result: Result) -> None:
        super().__init__(simulation, source, result)
        self._kind = LinkKind.OWN
        self.most_devices = 2
        self.actions = {**ACTIONS, RestoredStory._back_up: 14, RestoredStory._roll_back: 16}
        self._which = source.randrange(self.most_devices)
        self._backup: Path | None = None

    async def _back_up(self) -> None:
        device = self._devices[self._which]
        device.crash()
        self._backup = device.back_up()
        await self._maybe_restart(device)

    async def _roll_back(self) -> None:
        if self._backup is not None:
            self._fault("restored home")
            device = self._devices[self._which]
            device.crash()
            device.restore(self._backup)
            self._witness.restored(device)
            await self._maybe_restart(device)

    @override
    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._meet()
        while any(device.agent.store.counter.rolled_back for device in self._devices):
            await asyncio.sleep(0.5)
            if loop.time() - began > SETTLED_WITHIN:
                raise BrokenPromiseError("I7: a restored home is not confirmed")
        await super()._settle()

    async def _meet(self) -> None:
        """What a home has forgotten it hears at the next meeting, and devices that want nothing do not meet."""
        one, other = self._devices
        await asyncio.sleep(5.0)  # A connection to a process that died is noticed by then.
        for _ in range(20):
            with contextlib.suppress(HandoffError):
                await one.do(one.agent.parts.dialer.connect(other.id))
                break
            await asyncio.sleep(60.0)
        await asyncio.sleep(5.0)

    @override
    async def _prove_life(self) -> None:
        if not self._witness.is_lost():
            await super()._prove_life()
            return
        self._result.outcomes["lost"] += 1
        for one, other in (self._devices, reversed(self._devices)):
            try:
                await one.take(self._session, other)
            except TrustError:
                continue
            except Exception as error:  # noqa: BLE001 - which of them refuses it depends on who lost it
                self._simulation.trace.note("-", f"{type(error).__name__}")
                continue
            raise BrokenPromiseError(f"I1: {one.name} was given a session that is lost")
