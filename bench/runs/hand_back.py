# SPDX-License-Identifier: Apache-2.0
"""Handing back after a small edit: what crosses the wire, by the kernel's own counters. Layer: bench."""

from __future__ import annotations

import json
import subprocess

from bench.data import random_file
from bench.figures import Figure, Statistic, rounded
from bench.places import Place
from bench.runs.handing_over import BackAndForth, warm_pair
from bench.sizes import human
from bench.stage import Stage


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine.

    Raises:
        BenchError: A run failed.
    """
    wire: list[float] = []
    walls: list[float] = []
    with warm_pair(stage, stage.scratch) as (left, right):
        session = BackAndForth(left, right, random_file.make(stage.scratch / "session", stage.sizes.hand_back))
        session.go(start=True)
        for number in range(stage.rounds):
            with (session.path / "random").open("r+b") as opened:
                opened.seek(number * 100_000)
                opened.write(bytes([number + 1]) * 1000)
            before = _counted(left.place)
            moved = session.go()
            wire.append((_counted(left.place) - before or moved.sent) / 1000)
            walls.append(moved.wall)
    name = f"{stage.engine}: {human(stage.sizes.hand_back)} session handed back after a 1 KB edit"
    counted = "on the wire, both directions" if stage.places.left.namespace else "of messages, as reported"
    return [
        Figure(f"{name}: {counted}", "KB", rounded(wire), goal="hand back", statistic=Statistic.MAXIMUM),
        Figure(f"{name}: command to resumed", "s", rounded(walls, 3)),
    ]


def _counted(place: Place) -> int:
    """Bytes that passed the interface of a namespace in both directions; 0 where there is none of its own."""
    if not place.namespace:
        return 0
    argv = ["ip", "-json", "-statistics", "link", "show", "dev", "eth0"]
    done = subprocess.run(place.argv(argv), capture_output=True, check=True)
    [link] = json.loads(done.stdout)
    return sum(int(link["stats64"][way]["bytes"]) for way in ("rx", "tx"))
