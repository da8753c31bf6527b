# SPDX-License-Identifier: Apache-2.0
"""Time against bytes and against files, over decades: cold, and unchanged. Layer: bench."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.data import many_files, random_file
from bench.devices import Device
from bench.figures import Figure, exponent, rounded
from bench.runs.handing_over import hand_over, warm_pair
from bench.sizes import human
from bench.stage import Stage
from p2p_handoff.limits import KIB

FILE_SIZE: Final = 4 * KIB
_UNCHANGED: Final = "files, unchanged"


def against_bytes(stage: Stage) -> list[Figure]:
    """One file of growing size.

    Raises:
        BenchError: A run failed.
    """
    points = _curve(stage, "bytes", stage.sizes.growth_bytes)
    return [*points, _steepest(stage.engine, "bytes", points)]


def against_files(stage: Stage) -> list[Figure]:
    """A growing number of small files.

    Raises:
        BenchError: A run failed.
    """
    points = _curve(stage, "files", stage.sizes.growth_files)
    cold = [point for point in points if point.series == "files"]
    return [*points, _steepest(stage.engine, "files", cold), _flatness(stage.engine, points)]


def _curve(stage: Stage, against: str, sizes: Sequence[int]) -> list[Figure]:
    figures: list[Figure] = []
    with warm_pair(stage, stage.scratch) as (left, right):
        for size in sizes:
            runs = [_one(left, right, stage.scratch / f"{size} {number}", against) for number in range(stage.rounds)]
            amount = human(size) if against == "bytes" else f"{size:,} files"
            point = partial(Figure, unit="s", at=float(size))
            name = f"{stage.engine}: growth, {amount}"
            cold, again = (rounded(times, 3) for times in zip(*runs, strict=True))
            figures.append(point(f"{name}, `start` and `to`", runs=cold, series=against))
            figures.append(point(f"{name}, unchanged", runs=again, series=f"{against}, unchanged"))
    return figures


def _one(left: Device, right: Device, place: Path, against: str) -> tuple[float, float]:
    size = int(place.name.split()[0])
    path = random_file.make(place, size) if against == "bytes" else many_files.make(place, size, FILE_SIZE)
    moved = hand_over(left, right, path, start=True)
    again = hand_over(right, left, moved.place)
    for device in (left, right):
        device.command("stop", moved.session)
    shutil.rmtree(path)
    shutil.rmtree(moved.place)
    return moved.start + moved.wall, again.wall


def _steepest(engine: str, against: str, points: Sequence[Figure]) -> Figure:
    steepest = exponent([(point.at, point.value) for point in points if point.series == against])
    return Figure(
        f"{engine}: growth against {against}, steepest exponent", "", rounded([steepest]), goal=f"growth, {against}"
    )


def _flatness(engine: str, points: Sequence[Figure]) -> Figure:
    """Unchanged at the most files beside unchanged at a hundredth of them, or at the fewest."""
    unchanged = [point for point in points if point.series == _UNCHANGED]
    most, few = unchanged[-1], unchanged[-3] if len(unchanged) > 2 else unchanged[0]
    name = f"{engine}: unchanged, {most.at:,.0f} files"
    return Figure(name, "s", most.runs, f"{few.at:,.0f} files", few.runs, goal="unchanged, flat")
