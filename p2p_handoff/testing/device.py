# SPDX-License-Identifier: Apache-2.0
"""One simulated device: a whole real agent that can be started, suspended, crashed. Layer: testing, public.

Everything that the agent does happens in its own simulated process; what a test asks of it goes through ``do`` and
ends with ``CrashedError`` when the process dies meanwhile. Specification: docs/testing.md §2, §4.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.outside import Outside
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.wire import Wire
from p2p_handoff.ids import DeviceId
from p2p_handoff.protocol.messages import Message, Mode
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.session.ownership import Role
from p2p_handoff.settings.config import Settings
from p2p_handoff.store.records import SessionRecord
from p2p_handoff.testing.disk import Disk, HomeOnDisk
from p2p_handoff.testing.homes import EPOCH, Peers, identity, make_home
from p2p_handoff.testing.loop import Process, ProcessKilledError, State
from p2p_handoff.testing.watching import SimulatedWatches

if TYPE_CHECKING:
    from p2p_handoff.testing.simulation import Simulation

_T = TypeVar("_T")

Occurrence = tuple[str, Mapping[str, Any]]


class CrashedError(Exception):
    """The device's process died before what was asked of it was done."""


class Device:
    """Made by ``Simulation.device``.

    Args:
        simulation: Where it lives.
        name: Its name, on which its keys depend.
        root: Its home and its files.
        peers: Whom it is linked with.
    """

    def __init__(self, simulation: Simulation, name: str, root: Path, peers: Peers) -> None:
        self.simulation = simulation
        self.name = name
        self.root = root
        self.things = root / "things"
        """A directory for what its sessions consist of."""
        self.received = root / "received"
        """Where sessions arrive that are new to it."""
        self.has_started = False
        """Whether the running agent has come up."""
        self.disk = Disk()
        self.clock_offset = 0.0
        """Seconds by which its wall clock is wrong; change it for a jump."""
        self.occurrences: list[Occurrence] = []
        """All events of its agents so far."""
        self.process: Process | None = None
        self.settings: dict[str, Any] = {}
        """Fields of ``Settings`` that differ from the simulation's at every start."""
        self._source = random.Random(f"{simulation.seed} {name}")
        self._agent: Agent | None = None
        self._watches: SimulatedWatches | None = None
        self._backups = 0
        self.home = make_home(root / "home", name, peers)
        self.things.mkdir()

    # --- its life -----------------------------------------------------------------------------------

    @property
    def id(self) -> DeviceId:
        """The device's id."""
        return identity(self.name).device

    @property
    def is_running(self) -> bool:
        """Whether there is a process, suspended or not."""
        return self.process is not None and self.process.state is not State.DEAD

    @property
    def agent(self) -> Agent:
        """The running agent; what changes anything should go through ``do`` or ``call``."""
        if self._agent is None or not self.is_running:
            raise CrashedError(f"{self.name} is not running")
        return self._agent

    async def start(self, **settings: Any) -> None:
        """Start the agent from what is in its home.

        Args:
            settings: Fields of ``Settings`` that differ from the device's, this time.

        Raises:
            CrashedError: It died on the way.
        """
        assert not self.is_running, f"{self.name} runs already"
        self.simulation.trace.note(self.name, "starts")
        process = Process(self.simulation.loop, self.name)
        self.has_started = False
        self.process = process
        self._agent = process.call(lambda: self._make_agent(process, settings))
        await self.do(self._agent.__aenter__())
        self._listen(self._agent)
        self.has_started = True

    async def stop(self) -> None:
        """Stop the agent in order."""
        agent, process = self.agent, self.process
        assert process is not None
        self.simulation.trace.note(self.name, "stops")
        await self.do(agent.__aexit__(None, None, None))
        process.kill()

    def crash(self) -> None:
        """Kill the process (SIGKILL). What is durable stays."""
        if self.process is not None and self.is_running:
            self.simulation.trace.note(self.name, "crashes")
            self.process.kill()

    def back_up(self) -> Path:
        """Copy its home as a backup does, while it is down; returns the copy."""
        assert not self.is_running, f"{self.name} runs"
        self._backups += 1
        backup = self.root / f"backup {self._backups}"
        shutil.copytree(self.home.path, backup)
        self.simulation.trace.note(self.name, "is backed up")
        return backup

    def restore(self, backup: Path) -> None:
        """Put an older copy of its home in place of the one it has, while it is down. Its files stay as they are."""
        assert not self.is_running, f"{self.name} runs"
        shutil.rmtree(self.home.path)
        shutil.copytree(backup, self.home.path)
        self.simulation.trace.note(self.name, "is restored")

    def suspend(self) -> None:
        """Give the process no turns (SIGSTOP)."""
        if self.process is not None:
            self.simulation.trace.note(self.name, "is suspended")
            self.process.suspend()

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        if self.process is not None:
            self.simulation.trace.note(self.name, "goes on")
            self.process.resume()

    # --- asking it ----------------------------------------------------------------------------------

    async def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await something in the device's process; cancelling this cancels it there.

        Raises:
            CrashedError: The process died meanwhile.
        """
        if self.process is None or not self.is_running:
            work.close()
            raise CrashedError(f"{self.name} is not running")
        task, ended = self.process.spawn(work), self.process.ended
        try:
            await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if ended.done():
            if task.done() and not task.cancelled():
                task.exception()  # It ended at the moment of the crash: nobody is left who wants to know how.
            raise CrashedError(f"{self.name} crashed")
        return task.result()

    def call(self, function: Callable[[Agent], _T]) -> _T:
        """Call something with the agent, now, in the device's process."""
        agent = self.agent
        assert self.process is not None
        return self.process.call(function, agent)

    async def begin(self, *paths: Path, title: str | None = None) -> SessionRecord:
        """Register paths as a session; as ``Agent.start``."""
        return await self.do(self.agent.start(paths, title))

    async def to(
        self,
        peer: Device,
        session: str,
        *,
        only: Sequence[str] = (),
        max_pause: float | None = None,
        mode: Mode = Mode.MOVE,
    ) -> Report:
        """Hand a session over; as ``Agent.to``."""
        return await self.do(self.agent.to(peer.name, session, only=only, max_pause=max_pause, mode=mode))

    async def take(self, session: str, peer: Device | None = None, *, only: Sequence[str] = ()) -> Report:
        """Fetch a session; as ``Agent.take``."""
        return await self.do(self.agent.take(session, peer=peer.name if peer else None, only=only))

    # --- its files ----------------------------------------------------------------------------------

    def write(self, path: Path, data: bytes, *, append: bool = False) -> None:
        """Write a file as a person's editor does; its times are the simulated ones.

        Args:
            path: Where; its directory is made where it is missing.
            data: What.
            append: Add to what is there.
        """
        self.simulation.trace.note(self.name, f"writes {len(data)} bytes to {path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if append else "wb") as file:
            file.write(data)
        now = int(self.now() * 1e9)
        os.utime(path, ns=(now, now))
        if self._watches is not None and self.is_running:
            self._watches.touched(path)

    def now(self) -> float:
        """Unix seconds by this device's wall clock."""
        return EPOCH + self.simulation.loop.time() + self.clock_offset

    def record(self, session: str) -> SessionRecord | None:
        """What its running agent knows of a session."""
        return next((record for record in self.agent.store.sessions.all() if record.id == session), None)

    def acknowledges(self, session: str) -> bool:
        """Whether an edit made now counts as acknowledged: this device may act on the session."""
        if not self.is_running:
            return False
        record = self.record(session)
        if record is None or record.ownership.role is not Role.PRIMARY:
            return False
        if self.agent.store.generations.change_of(record.id) is not None:
            return False  # What is written while a state is brought back becomes a conflict copy.
        outgoing = self.agent.handoffs.outgoing_of(record.id)
        return outgoing is None or outgoing.machine.state in (SourceState.OFFERED, SourceState.COPYING)

    # --- inside -------------------------------------------------------------------------------------

    def _make_agent(self, process: Process, settings: Mapping[str, Any]) -> Agent:
        network = self.simulation.network
        host = network.plug_in(self.name, process)
        home = HomeOnDisk(self.disk, process)
        self._watches = SimulatedWatches(self.simulation.loop, process)
        chosen = Settings(
            **{"name": self.name, "keys": "file", "receive_dir": self.received, **self.settings, **settings}
        )
        outside = Outside(
            network=host,
            clock=self.now,
            entropy=self._source.randbytes,
            watch=self._watches,
            lock=home.lock,
            open_store=home.open_store,
        )
        return Agent(self.home.path, settings=chosen, engine=network.engine(host), outside=outside)

    def _listen(self, agent: Agent) -> None:
        agent.subscribe(self._occurred)
        received = agent.handoffs.message_received

        def traced(wire: Wire, message: Message) -> None:
            self.simulation.trace.note(self.name, f"< {type(message).__name__}")
            self.simulation.message_received(self, message)
            if not self.is_running:
                raise ProcessKilledError
            received(wire, message)

        agent.handoffs.message_received = traced  # type: ignore[method-assign]  # one ear more than the product has

    def _occurred(self, name: str, fields: Mapping[str, Any]) -> None:
        self.occurrences.append((name, fields))
        self.simulation.trace.event(self.name, name, fields)
