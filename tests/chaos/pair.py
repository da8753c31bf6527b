# SPDX-License-Identifier: Apache-2.0
"""Two linked devices with one session, made once and copied back for every run.

Paths in a home are absolute, so a run happens where its template was made. Two stages: ``first`` (the session is on the
laptop, the desktop knows nothing of it) and ``update`` (it has been on both, and was worked on at the desktop since).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import threading
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

from tests.chaos.device import Device, DeviceError
from tests.chaos.work import TITLE, Work


class Stage(Enum):
    """Where a run begins."""

    FIRST = "first"
    UPDATE = "update"


class Pair:
    """The two devices.

    Args:
        base: A directory of its own, on a fast file system.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._place = base / "run"
        ports = _free_ports()
        self.laptop = Device(self._place / "laptop", "laptop", ports[0], ports[1])
        self.desktop = Device(self._place / "desktop", "desktop", ports[1], ports[0])
        self.work = Work(self.laptop.files, self.desktop.files)

    @property
    def devices(self) -> tuple[Device, Device]:
        """Both."""
        return self.laptop, self.desktop

    def make(self) -> None:
        """Link the devices and make both stages."""
        for device in self.devices:
            device.make()
        self.start()
        self._link()
        self.work.begin(self.laptop.files)
        paths = [str(path) for path in self.work.parts(self.laptop.files)]
        self.laptop.call("start", {"paths": paths, "title": TITLE})
        self._keep(Stage.FIRST)
        self.start()
        self.laptop.call("to", {"peer": "desktop", "session": TITLE})
        self.stop()
        self.work.go_on(self.desktop.files)
        self._keep(Stage.UPDATE)

    def begin(self, stage: Stage) -> tuple[Device, Device]:
        """Bring a stage back; returns source and target. No agent runs yet."""
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(self._base / stage.value, self._place, symlinks=True)
        self.work = Work.load(self._place / "work.json")
        return self.devices if stage is Stage.FIRST else (self.desktop, self.laptop)

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

    def _keep(self, stage: Stage) -> None:
        self.stop()
        self.work.save(self._place / "work.json")
        self.keep(self._base / stage.value)

    def _link(self) -> None:
        shown: list[str] = []
        code = threading.Event()

        def on_event(name: str, fields: Mapping[str, Any]) -> None:
            if name == "code":
                shown.append(fields["code"])
                code.set()

        opening = threading.Thread(
            target=self.laptop.call, args=("link", {"code": None, "kind": "own"}), kwargs={"on_event": on_event}
        )
        opening.start()
        if not code.wait(_PATIENCE):
            raise DeviceError("no link code was shown")
        self.desktop.call("link", {"code": shown[0], "kind": "own"})
        opening.join(_PATIENCE)


_PATIENCE: Final = 60.0
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
