# SPDX-License-Identifier: Apache-2.0
"""How long people wait: dialling a linked device, handing a conversation back after an edit. Layer: bench."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.data import conversation
from bench.devices import COMMAND_DEADLINE, BenchError, Device, running_pair
from bench.figures import Figure, rounded
from bench.runs.handing_over import hand_over, warm_up
from bench.stage import Stage
from p2p_handoff.limits import KIB

CONVERSATION_BYTES = 100 * KIB


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine.

    Raises:
        BenchError: A run failed.
    """
    again: list[float] = []
    pauses: list[float] = []
    with running_pair(stage.places, stage.scratch, stage.engine, fresh=True) as (left, right):
        first = warm_up(left, right, stage.scratch / "first")
        for number in range(stage.rounds):
            path = conversation.make(stage.scratch / f"talk-{number}.jsonl", CONVERSATION_BYTES)
            there = hand_over(left, right, path)
            conversation.edit(there.place, 0.001, number)
            back = hand_over(right, left, there.place)
            again.append(back.wall)
            pauses += [there.pause_ms, back.pause_ms]
        dials = _dials(left, right, stage)
    return [
        Figure(f"{stage.engine}: dial to ready, sealed signaling included", "ms", tuple(dials)),
        Figure(f"{stage.engine}: first handoff of a user, tiny", "s", rounded([moved.wall for moved in first], 3)),
        Figure(f"{stage.engine}: handed back after an edit", "s", rounded(again, 3)),
        Figure(f"{stage.engine}: pause of that", "ms", tuple(pauses), "promise", (300.0,)),
    ]


def _dials(left: Device, right: Device, stage: Stage) -> list[float]:
    device = right.command("whoami").result["device"]
    left.stop()
    argv = [sys.executable, "-m", "bench.runs.dial", "--home", str(left.home), "--engine", stage.engine]
    argv += ["--peer", f"{right.place.address}:{right.port}", "--device", device, "--rounds", str(stage.rounds)]
    done = subprocess.run(left.place.argv(argv), capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    if done.returncode:
        raise BenchError(f"dialling with {stage.engine} failed: {done.stderr[-500:]}")
    dials: list[float] = json.loads(done.stdout)
    return dials
