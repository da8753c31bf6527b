# SPDX-License-Identifier: Apache-2.0
"""Conversations beside the others, and the small one beside magic-wormhole's smallest file. Layer: bench."""

from __future__ import annotations

from collections.abc import Sequence

from bench.data import conversation, random_file
from bench.figures import Figure, rounded
from bench.peers import wormhole
from bench.peers.base import Carrier
from bench.runs.cold_and_changed import DataSet, Times, go_through, nothing
from bench.sizes import human
from bench.stage import Stage
from p2p_handoff.limits import KIB


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine.

    Raises:
        BenchError: A run failed.
    """
    smallest = stage.sizes.conversations[0]
    return [
        figure
        for number, size in enumerate(stage.sizes.conversations)
        for figure in _one(stage.within(f"conversation {number}"), size, is_smallest=size == smallest)
    ]


def _one(stage: Stage, size: int, *, is_smallest: bool) -> list[Figure]:
    name = f"{stage.engine}: {human(size)} conversation"
    data = DataSet(name, lambda path: conversation.make(path.with_suffix(".jsonl"), size), conversation.edit)
    tiny: list[float] = []
    tiny_file = random_file.make(stage.scratch / "tiny", KIB) / "random"

    def beside(others: Sequence[Carrier]) -> None:
        tiny.extend(other.carry(tiny_file, stage.scratch / "there") for other in others if other.name == wormhole.NAME)

    times = go_through(stage, data, beside=beside if is_smallest else nothing)
    figures = [*_cold(name, times), *times.changed(data), times.after_restart(data)]
    return [_beside_tiny(name, times, tiny), *figures] if is_smallest else figures


def _cold(name: str, times: Times) -> list[Figure]:
    ours = rounded([run.start + run.wall for run in times.ours[None]], 3)
    return [
        Figure(f"{name}, cold: `start` and `to`", "s", ours, other, rounded(taken, 3))
        for (other, share), taken in times.others.items()
        if share is None
    ]


def _beside_tiny(name: str, times: Times, tiny: list[float]) -> Figure:
    """All but waiting: what is fixed in a handoff beside what is fixed in the other."""
    walls = rounded([run.wall for run in times.ours[None]], 3)
    compared_with = f"{wormhole.NAME}, 1 KiB" if tiny else ""
    return Figure(f"{name}, new: command to resumed", "s", walls, compared_with, rounded(tiny, 3), "conversation")
