# SPDX-License-Identifier: Apache-2.0
"""Peak memory of both agents for two files of very different size. Layer: bench."""

from __future__ import annotations

import shutil

from bench.data import random_file
from bench.figures import Figure, rounded
from bench.machine import HAS_PROC, peak_memory
from bench.runs.handing_over import hand_over, warm_pair
from bench.sizes import human
from bench.stage import Stage


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine; none where the system does not tell.

    Raises:
        BenchError: A run failed.
    """
    if not HAS_PROC:
        return []
    small, large = stage.sizes.memory
    peaks = {size: _peaks(stage, size) for size in (small, large)}
    return [
        figure
        for side, at_small, at_large in zip(("source", "target"), peaks[small], peaks[large], strict=True)
        for figure in _figures(
            f"{stage.engine}: peak memory, {human(large)} file, {side}", at_small, at_large, human(small)
        )
    ]


def _figures(name: str, at_small: float, at_large: float, small: str) -> list[Figure]:
    return [
        Figure(name, "MB", rounded([at_large]), goal="memory"),
        Figure(name, "MB", rounded([at_large]), f"{small} file", rounded([at_small]), goal="memory, flat"),
    ]


def _peaks(stage: Stage, size: int) -> tuple[float, float]:
    """Megabytes of source and target, each a fresh agent."""
    place = stage.within(str(size)).scratch
    with warm_pair(stage, place) as (left, right):
        hand_over(left, right, random_file.make(place / "session", size), start=True)
        peaks = peak_memory(left.pid) / 1e6, peak_memory(right.pid) / 1e6
    shutil.rmtree(place)
    return peaks
