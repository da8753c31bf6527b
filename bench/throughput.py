# SPDX-License-Identifier: Apache-2.0
"""How fast content moves: a raw data channel and a whole handoff, alternately. Layer: bench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.devices import COMMAND_DEADLINE, BenchError, Device, running_pair
from bench.figures import Figure
from bench.machine import HAS_PROC, cpu_seconds
from bench.places import Pair
from p2p_handoff.limits import MIB


@dataclass(frozen=True, slots=True)
class Load:
    """What is moved, and how often."""

    engine: str
    mib: int
    rounds: int


def measure(places: Pair, load: Load, root: Path) -> list[Figure]:
    """Figures of one engine: raw channel, handoff beside it, connect time.

    Raises:
        BenchError: A run failed.
    """
    raw: list[dict[str, Any]] = []
    moved: list[_Moved] = []
    with running_pair(places, root, load.engine) as (left, right):
        _hand_over(left, right, root / "first", 1)  # The first handoff dials; those that count find the wire open.
        for number in range(load.rounds):
            raw.append(raw_channel(places, load.engine, load.mib))
            moved.append(_hand_over(left, right, root / f"random-{number}", load.mib))
    speeds = tuple(run["mb_per_second"] for run in raw)
    name = f"{load.engine}: {load.mib} MiB random file"
    return [
        Figure(f"{load.engine}: raw data channel", "MB/s", speeds),
        Figure(f"{name}, handoff", "MB/s", _speeds(load.mib, [run.seconds for run in moved]), "raw channel", speeds),
        Figure(f"{name}, whole command", "MB/s", _speeds(load.mib, [run.wall for run in moved]), "raw channel", speeds),
        *_processor_time(load, raw, moved),
        Figure(f"{load.engine}: connect, signaling excluded", "ms", tuple(run["connect_ms"] for run in raw)),
    ]


def raw_channel(places: Pair, engine: str, mib: int) -> dict[str, Any]:
    """One run of ``bench.raw_channel``.

    Raises:
        BenchError: It failed.
    """
    argv = [sys.executable, "-m", "bench.raw_channel", "--engine", engine, "--size-mib", str(mib)]
    argv += ["--namespace", places.left.namespace, "--peer-namespace", places.right.namespace]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    if done.returncode:
        raise BenchError(f"the raw channel of {engine} failed: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@dataclass(frozen=True, slots=True)
class _Moved:
    """One handoff."""

    seconds: float
    """As it reports."""
    wall: float
    """Seconds of the whole command."""
    busy: float
    """Processor seconds of both agents."""


def _hand_over(left: Device, right: Device, folder: Path, mib: int) -> _Moved:
    """Hand over random bytes."""
    folder.mkdir()
    with (folder / "random").open("wb") as opened:
        for _ in range(mib):
            opened.write(os.urandom(MIB))
    os.sync()  # Writing back what was just made is not part of the handoff.
    before = _busy(left, right)
    done = left.command("to", right.name, str(folder))
    return _Moved(float(done.result["seconds"]), done.wall, _busy(left, right) - before)


def _busy(*devices: Device) -> float:
    return sum(cpu_seconds(device.pid) for device in devices) if HAS_PROC else 0.0


def _processor_time(load: Load, raw: list[dict[str, Any]], moved: list[_Moved]) -> list[Figure]:
    """Processor time of both sides: unlike speeds it hardly depends on what else the machine does."""
    if not HAS_PROC:
        return []
    gigabytes = load.mib * MIB / 1e9
    channel = [(run["sender_cpu_seconds"] + run["receiver_cpu_seconds"]) / gigabytes for run in raw]
    agents = [run.busy / gigabytes for run in moved]
    name = f"{load.engine}: processor time of both agents"
    return [Figure(name, "s/GB", _rounded(agents), "raw channel", _rounded(channel))]


def _speeds(mib: int, seconds: list[float]) -> tuple[float, ...]:
    return _rounded([mib * MIB / 1e6 / taken for taken in seconds])


def _rounded(values: list[float]) -> tuple[float, ...]:
    return tuple(round(value, 2) for value in values)
