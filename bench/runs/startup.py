# SPDX-License-Identifier: Apache-2.0
"""How soon a command answers, beside an interpreter that does nothing. Layer: bench."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.devices import HANDOFF, running_pair
from bench.figures import Figure, rounded
from bench.stage import Stage


def measure(stage: Stage) -> list[Figure]:
    """Figures; the engine has no part in them.

    Raises:
        BenchError: A run failed.
    """
    nothing: list[float] = []
    helped: list[float] = []
    listed: list[float] = []
    with running_pair(stage.places, stage.scratch, stage.engine) as (left, _):
        for _ in range(stage.rounds * stage.sizes.starts):
            nothing.append(_timed([sys.executable, "-c", "pass"]))
            helped.append(_timed([HANDOFF, "--help"]))
            listed.append(left.command("peers").wall)
    beside = "python -c pass", rounded(nothing, 4)
    return [
        Figure("handoff --help", "s", rounded(helped, 4), *beside, goal="help"),
        Figure("handoff peers, agent running", "s", rounded(listed, 4), *beside),
    ]


def _timed(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - began
