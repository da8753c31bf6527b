# SPDX-License-Identifier: Apache-2.0
"""Whole agents in one process on a simulated network and clock, seeded and replayable. Layer: testing, public.

``with Simulation(seed=7) as simulation:`` → ``devices("laptop", "desktop")`` → ``run(story)``. The agents are the
real ones with their real store, adapters, protocol and cryptography; network, time and processes are simulated.
Specification: docs/testing.md.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from p2p_handoff.protocol.messages import Message
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.link import Conditions, Link
from p2p_handoff.testing.loop import SimulatedLoop
from p2p_handoff.testing.network import SimulatedNetwork
from p2p_handoff.testing.trace import Trace

_T = TypeVar("_T")

DISK_DELAY: Final = (0.0, 0.004)
"""Seconds that the work of one thread takes."""
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - directories in it get names of their own


class Simulation:
    """One run.

    Args:
        seed: Everything random follows from it.
        conditions: What the links are like.
        root: Where homes and files are kept; a temporary directory where it is None.
    """

    def __init__(self, seed: int = 0, conditions: Conditions | None = None, root: Path | None = None) -> None:
        self.seed = seed
        self.loop = SimulatedLoop()
        self.source = random.Random(seed)
        self.network = SimulatedNetwork(self.loop, self.source, conditions or Conditions())
        self.trace = Trace(self.loop.time)
        self.all: dict[str, Device] = {}
        """The devices, by name."""
        self._root = root or Path(tempfile.mkdtemp(prefix="handoff-simulation-", dir=quick_place()))
        self._temporary = root is None
        self._hooks: list[Callable[[Device, Message], None]] = []
        disk = random.Random(f"{seed} disk")
        self.loop.disk_delay = lambda: disk.uniform(*DISK_DELAY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what runs and forget everything."""
        for device in self.all.values():
            if device.process is not None:
                device.process.kill()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        if self._temporary:
            shutil.rmtree(self._root, ignore_errors=True)

    def devices(self, *names: str, kind: LinkKind = LinkKind.OWN) -> Sequence[Device]:
        """Devices that are linked with each other, not started yet.

        Args:
            names: At least one; the same name has the same keys in every run.
            kind: Whose they are to each other.
        """
        for name in names:
            peers = tuple((other, kind) for other in names if other != name)
            self.all[name] = Device(self, name, self._root / name, peers)
        return [self.all[name] for name in names]

    def run(self, story: Coroutine[Any, Any, _T], seconds: float = 24 * 3600.0) -> _T:
        """Run a coroutine to its end.

        Args:
            story: What happens.
            seconds: Simulated time that it may take.

        Raises:
            TimeoutError: It takes longer.
            StuckError: Nothing can happen any more.
            AssertionError: An agent failed in a way that nobody handled.
        """
        result = self.loop.run_until_complete(_within(story, seconds))
        if self.loop.failures:
            raise AssertionError("; ".join(self.loop.failures))
        return result

    # --- the network --------------------------------------------------------------------------------

    def link(self, one: Device, other: Device) -> Link:
        """The link between two devices."""
        return self.network.link(one.name, other.name)

    def cut(self, one: Device, other: Device) -> None:
        """Break their connections; they can connect again at once."""
        self.trace.note("network", f"cut {one.name}-{other.name}")
        self.link(one, other).cut()

    def part(self, one: Device, other: Device) -> None:
        """Let nothing through between them."""
        self.trace.note("network", f"parted {one.name}-{other.name}")
        self.link(one, other).part()

    def heal(self, one: Device, other: Device, *, announced: bool = True) -> None:
        """Let everything through between them again.

        Args:
            one: A device.
            other: Another one.
            announced: Whether they notice, and announce themselves anew; else only their own retries help.
        """
        self.trace.note("network", f"healed {one.name}-{other.name}{'' if announced else ' unnoticed'}")
        self.link(one, other).heal()
        if announced:
            self.network.announce_again(one.name, other.name)

    async def mend(self, *, announced: bool = True) -> None:
        """End all faults: everybody runs, every link is whole, every disk has room.

        Args:
            announced: As for ``heal``.
        """
        self.trace.note("network", "no more faults")
        devices = list(self.all.values())
        for device in devices:
            device.resume()
            device.disk.full = False
            device.disk.forget_kill()
        for number, one in enumerate(devices):
            for other in devices[number + 1 :]:
                self.link(one, other).forget_cut()
                self.heal(one, other, announced=announced)
        for device in devices:
            if not device.is_running:
                await device.start()

    # --- messages -----------------------------------------------------------------------------------

    def on_message(self, hook: Callable[[Device, Message], None]) -> Callable[[], None]:
        """Call ``hook(receiver, message)`` before a handoff message is dealt with; returns what ends that.

        What it does there happens at exactly that moment: crash the receiver and the message is lost.
        """
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook) if hook in self._hooks else None

    def message_received(self, device: Device, message: Message) -> None:
        """Called by devices."""
        for hook in tuple(self._hooks):
            hook(device, message)


def quick_place() -> Path | None:
    """A file system in memory, where syncing costs nothing; None where there is none."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else None


async def _within(story: Coroutine[Any, Any, _T], seconds: float) -> _T:
    async with asyncio.timeout(seconds):
        return await story
