# SPDX-License-Identifier: Apache-2.0
"""A random file beside the raw data channel of the same engine, and beside the others. Layer: bench."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.data import random_file
from bench.figures import Figure, rounded
from bench.machine import HAS_PROC
from bench.peers import raw
from bench.runs.cold_and_changed import DataSet, Times, go_through
from bench.sizes import human
from bench.stage import Stage


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine.

    Raises:
        BenchError: A run failed.
    """
    size = stage.sizes.random[stage.engine]
    name = f"{stage.engine}: {human(size)} random file"
    data = DataSet(name, lambda path: random_file.make(path, size), random_file.edit)
    channel: list[dict[str, Any]] = []
    times = go_through(stage, data, beside=lambda _: channel.append(raw.channel(stage.places, stage.engine, size)))
    speeds = rounded([run["mb_per_second"] for run in channel])
    as_speeds = partial(_speeds, size)
    cold = times.ours[None]
    both = as_speeds([run.start + run.wall for run in cold])
    return [
        Figure(f"{stage.engine}: raw data channel", "MB/s", speeds),
        Figure(
            f"{name}, `to`", "MB/s", as_speeds([run.wall for run in cold]), "raw channel", speeds,
            goal=f"random {stage.engine}",
        ),
        Figure(
            f"{name}, `start` and `to`", "MB/s", both, "raw channel", speeds
        ),
        *_beside_others(name, both, times, as_speeds),
        *_processor_time(stage.engine, size, channel, times),
        Figure(f"{stage.engine}: connect, signaling excluded", "ms", tuple(run["connect_ms"] for run in channel)),
        *times.changed(data),
        times.after_restart(data),
    ]  # fmt: skip


def _beside_others(
    name: str, ours: tuple[float, ...], times: Times, as_speeds: partial[tuple[float, ...]]
) -> list[Figure]:
    return [
        Figure(f"{name}, `start` and `to`", "MB/s", ours, other, as_speeds(taken))
        for (other, share), taken in times.others.items()
        if share is None
    ]


def _processor_time(engine: str, size: int, channel: list[dict[str, Any]], times: Times) -> list[Figure]:
    """Processor time of both sides: unlike speeds it hardly depends on what else the machine does."""
    if not HAS_PROC:
        return []
    gigabytes = size / 1e9
    raw_cpu = rounded([(run["sender_cpu_seconds"] + run["receiver_cpu_seconds"]) / gigabytes for run in channel])
    ours = rounded([run.busy / gigabytes for run in times.ours[None]])
    return [Figure(f"{engine}: processor time of both agents", "s/GB", ours, "raw channel", raw_cpu)]


def _speeds(size: int, seconds: list[float]) -> tuple[float, ...]:
    return rounded([size / 1e6 / taken for taken in seconds])
