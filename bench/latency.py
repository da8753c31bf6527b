# SPDX-License-Identifier: Apache-2.0
"""How long people wait: dialling a linked device, handing a conversation over and back. Layer: bench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.devices import COMMAND_DEADLINE, BenchError, Device, running_pair
from bench.figures import Figure
from bench.places import Pair
from p2p_handoff.limits import KIB

CONVERSATION_BYTES = 100 * KIB


def measure(places: Pair, engine: str, rounds: int, root: Path) -> list[Figure]:
    """Figures of one engine.

    Args:
        places: Where the two devices are.
        engine: Of both devices.
        rounds: Handoffs there and back, and dials.
        root: An empty directory.

    Raises:
        BenchError: A run failed.
    """
    first: list[float] = []
    again: list[float] = []
    pauses: list[float] = []
    with running_pair(places, root, engine) as (left, right):
        _there(left, right, _conversation(root / "warm-up.jsonl"))
        for number in range(rounds):
            path = _conversation(root / f"talk-{number}.jsonl")
            arrived, wall, pause = _there(left, right, path)
            first.append(wall)
            with arrived.open("ab") as opened:
                opened.write(_line(number))
            _, wall, second_pause = _there(right, left, arrived)
            again.append(wall)
            pauses += [pause, second_pause]
        dials = _dials(left, right, engine, rounds)
    return [
        Figure(f"{engine}: dial to ready, sealed signaling included", "ms", tuple(dials)),
        Figure(f"{engine}: 100 KB conversation, command to resumed", "s", _seconds(first)),
        Figure(f"{engine}: handed back after an edit", "s", _seconds(again)),
        Figure(f"{engine}: pause of that", "ms", tuple(pauses), "promise", (300.0,)),
    ]


def _there(source: Device, target: Device, path: Path) -> tuple[Path, float, float]:
    done = source.command("to", target.name, str(path))
    listed = target.command("sessions").result["sessions"]
    [place] = [Path(item["paths"][0]) for item in listed if item["session"] == done.result["session"]]
    return place, done.wall, float(done.result["pause_ms"])


def _conversation(path: Path) -> Path:
    with path.open("wb") as opened:
        while opened.tell() < CONVERSATION_BYTES:
            opened.write(_line(opened.tell()))
    return path


def _line(number: int) -> bytes:
    """One message of about 500 bytes that no compressor shortens much."""
    return json.dumps({"role": "user", "number": number, "text": os.urandom(220).hex()}).encode() + b"\n"


def _dials(left: Device, right: Device, engine: str, rounds: int) -> list[float]:
    device = right.command("whoami").result["device"]
    left.stop()
    argv = [sys.executable, "-m", "bench.dial", "--home", str(left.home), "--engine", engine]
    argv += ["--peer", f"{right.place.address}:{right.port}", "--device", device, "--rounds", str(rounds)]
    done = subprocess.run(left.place.argv(argv), capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    if done.returncode:
        raise BenchError(f"dialling with {engine} failed: {done.stderr[-500:]}")
    dials: list[float] = json.loads(done.stdout)
    return dials


def _seconds(walls: list[float]) -> tuple[float, ...]:
    return tuple(round(wall, 3) for wall in walls)
