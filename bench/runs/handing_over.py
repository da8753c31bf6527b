# SPDX-License-Identifier: Apache-2.0
"""One handoff with the real command, and how it went. Layer: bench."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.devices import Device, running_pair
from bench.machine import HAS_PROC, cpu_seconds
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Moved:
    """One handoff."""

    session: str
    place: Path
    """Where the session is on the target."""
    seconds: float
    """As it reports."""
    wall: float
    """Seconds of the whole command: from the shell to resumed."""
    start: float
    """Seconds of the command ``start`` before it; 0 where there was none."""
    pause_ms: float
    sent: int
    """Bytes, as it reports."""
    busy: float
    """Processor seconds of both agents, 0 where they cannot be known."""


def hand_over(source: Device, target: Device, path: Path, *, start: bool = False) -> Moved:
    """Hand a path over.

    Args:
        source: Has it.
        target: Gets it.
        path: A path of the session.
        start: Run ``start`` first, for what is no session yet.

    Raises:
        BenchError: It failed.
    """
    os.sync()  # Writing back what was just made is not part of the handoff.
    before = _busy(source, target)
    started = source.command("start", str(path)).wall if start else 0.0
    done = source.command("to", target.name, str(path))
    busy = _busy(source, target) - before
    session = str(done.result["session"])
    return Moved(
        session=session,
        place=_place(target, session),
        seconds=float(done.result["seconds"]),
        wall=done.wall,
        start=started,
        pause_ms=float(done.result["pause_ms"]),
        sent=int(done.result["sent_bytes"]),
        busy=busy,
    )


class BackAndForth:
    """A session that goes there and back between two devices.

    Args:
        owner: Has it.
        guest: The other one.
        path: Where the owner has it.
    """

    def __init__(self, owner: Device, guest: Device, path: Path) -> None:
        self.owner = owner
        self.guest = guest
        self.path = path

    def go(self, *, start: bool = False) -> Moved:
        """Hand it over; the arguments and errors are those of ``hand_over``."""
        moved = hand_over(self.owner, self.guest, self.path, start=start)
        self.owner, self.guest, self.path = self.guest, self.owner, moved.place
        return moved


@contextmanager
def warm_pair(stage: Stage, place: Path) -> Iterator[tuple[Device, Device]]:
    """Two linked devices that are in use: connected, and each has been source and target before.

    Args:
        stage: Where, and with which engine.
        place: A directory for them.

    Raises:
        BenchError: They do not come up.
    """
    with running_pair(stage.places, place, stage.engine) as (left, right):
        warm_up(left, right, place / "first")
        yield left, right


def warm_up(left: Device, right: Device, path: Path) -> tuple[Moved, Moved]:
    """Hand something tiny over and back: the first handoff dials, and loads what agents load late.

    Args:
        left: Source of the first.
        right: Source of the second.
        path: Made.

    Returns:
        Both.
    """
    path.mkdir(parents=True)
    (path / "file").write_text("first\n")
    session = BackAndForth(left, right, path)
    return session.go(), session.go()


def _place(device: Device, session: str) -> Path:
    listed = device.command("sessions").result["sessions"]
    [path] = [Path(item["paths"][0]) for item in listed if item["session"] == session]
    return path


def _busy(*devices: Device) -> float:
    return sum(cpu_seconds(device.pid) for device in devices) if HAS_PROC else 0.0
