# SPDX-License-Identifier: Apache-2.0
"""Two linked devices with one session, made once for each stage and copied back for every run.

Paths in a home are absolute, so a run happens where its template was made. A stage is made when it is first wanted.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
from pathlib import Path
from typing import Final

from tests.chaos.cases import Stage
from tests.chaos.device import Device
from tests.chaos.nursery import Nursery
from tests.chaos.stages import STAGES
from tests.chaos.work import Work


class Pair:
    """The two devices.

    Args:
        base: A directory of its own, on a fast file system.
        nursery: Starts the agents.
    """

    def __init__(self, base: Path, nursery: Nursery | None = None) -> None:
        self._base = base
        self._place = base / "run"
        ports = _free_ports()
        self.laptop = Device(self._place / "laptop", "laptop", ports[0], ports[1], nursery)
        self.desktop = Device(self._place / "desktop", "desktop", ports[1], ports[0], nursery)
        self.work = Work(self.laptop.files, self.desktop.files)

    @property
    def devices(self) -> tuple[Device, Device]:
        """Both."""
        return self.laptop, self.desktop

    def make(self, stage: Stage) -> None:
        """Make a stage and those it is made from, where they are not there yet.

        Raises:
            DeviceError, HandoffError: The devices do not get so far.
        """
        if (self._base / stage.value).is_dir():
            return
        before, how = STAGES[stage]
        if before is not None:
            self.begin(before)
        try:
            how(self)
        finally:
            self.stop()
        self.work.save(self._place / "work.json")
        self.keep(self._base / stage.value)

    def begin(self, stage: Stage) -> tuple[Device, Device]:
        """Bring a stage back; returns source and target. No agent runs yet."""
        self.make(stage)
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(self._base / stage.value, self._place, symlinks=True)
        self.work = Work.load(self._place / "work.json")
        return self.devices if stage in _ON_THE_LAPTOP else (self.desktop, self.laptop)

    def start(self, engine: str = "auto") -> None:
        """Start both agents and wait until they answer."""
        for device in self.devices:
            device.start(engine=engine)
        for device in self.devices:
            device.answers()

    def stop(self) -> None:
        """Stop both agents."""
        for device in self.devices:
            device.stop()

    def kill(self) -> None:
        """End both agents as a power switch does."""
        for device in self.devices:
            device.kill()

    def give_up(self) -> None:
        """End both agents, and start none any more: for another thread than the one that runs them."""
        for device in self.devices:
            device.give_up()

    def sabotage(self, bug: str) -> None:
        """Plant a bug in both agents from their next start on; an empty name ends it."""
        path = [str(Path(__file__).parent / "sabotage"), *filter(None, [os.environ.get("PYTHONPATH")])]
        for device in self.devices:
            device.environment = {"PYTHONPATH": os.pathsep.join(path), "HANDOFF_SABOTAGE": bug} if bug else {}

    def keep(self, where: Path) -> None:
        """Copy everything away as evidence."""
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(self._place, where, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))


_ON_THE_LAPTOP: Final = (Stage.FIRST, Stage.HANDED)
"""Stages in which it is the laptop that has the session; in the others it is, or was, the desktop."""
_OWN_PORTS: Final = (20_000, 32_000)
"""Below those that Linux hands out by itself."""


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on, and that the system gives to nobody while an agent is down."""
    found: list[int] = []
    while len(found) < 2:
        port = random.randrange(*_OWN_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found[0], found[1]


def fast_place() -> Path:
    """Where a sync costs nothing, so that thousands of runs fit into minutes; a kill is the same there."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else Path(os.environ.get("TMPDIR", "/tmp"))
