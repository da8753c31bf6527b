# SPDX-License-Identifier: Apache-2.0
"""What a device keeps on disk beside the session itself after it came three times with a change. Layer: bench."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bench.data import random_file
from bench.devices import Device
from bench.figures import Figure, rounded
from bench.machine import disk_usage
from bench.runs.handing_over import hand_over, warm_pair
from bench.sizes import human
from bench.stage import Stage

GENERATIONS: Final = 3
SHARE: Final = 0.01


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine. Blocks that a reflink shares are counted with each file: compare file systems with care.

    Raises:
        BenchError: A run failed.
    """
    with warm_pair(stage, stage.scratch) as (left, right):
        there = random_file.make(stage.scratch / "left" / "session", stage.sizes.session)
        first = hand_over(left, right, there, start=True)
        here = first.place
        for number in range(GENERATIONS):
            hand_over(right, left, here)
            random_file.edit(there, SHARE, number)
            hand_over(left, right, there)
        os.sync()
        kept = [_beside(left, there), _beside(right, here)]
        session = disk_usage(here)
    name = f"{stage.engine}: {human(stage.sizes.session)} session, {GENERATIONS} generations of {SHARE:.0%} change each"
    return [
        Figure(
            f"{name}: kept beside it, {side}", "MB", rounded([size / 1e6]), "the session", rounded([session / 1e6]),
            goal="store",
        )
        for side, size in zip(("where it was edited", "where it arrived"), kept, strict=True)
    ]  # fmt: skip


def _beside(device: Device, session: Path) -> int:
    """Bytes beneath a device's directory which are not the session's."""
    return disk_usage(device.root) - disk_usage(session)
