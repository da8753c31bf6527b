# SPDX-License-Identifier: Apache-2.0
"""A real tree of many small files beside rsync, tar and magic-wormhole. Layer: bench."""

from __future__ import annotations

from bench.data import tree
from bench.figures import Figure, rounded
from bench.peers import rsync, wormhole
from bench.runs.cold_and_changed import DataSet, go_through
from bench.stage import Stage

_COLD_GOALS = {rsync.NAME: "tree cold, rsync", wormhole.NAME: "tree cold, magic-wormhole"}


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine.

    Raises:
        BenchError: A run failed.
    """
    sizes = stage.sizes
    name = f"{stage.engine}: tree of {sizes.tree_files:,} files"
    goals = {0.0: "unchanged", 0.01: "tree 1%"}
    data = DataSet(name, lambda path: tree.make(path, sizes.tree_files, sizes.tree_bytes), tree.edit, goals)
    times = go_through(stage, data)
    cold = times.ours[None]
    ours = rounded([run.start + run.wall for run in cold], 3)
    return [
        *(
            Figure(
                f"{name}, cold: `start` and `to`", "s", ours, other, rounded(taken, 3), goal=_COLD_GOALS.get(other, "")
            )
            for (other, share), taken in times.others.items()
            if share is None
        ),
        Figure(f"{name}, cold: `start` alone", "s", rounded([run.start for run in cold], 3)),
        Figure(f"{name}, cold: `to` alone", "s", rounded([run.wall for run in cold], 3)),
        *times.changed(data),
        times.after_restart(data),
    ]
