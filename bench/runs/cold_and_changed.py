# SPDX-License-Identifier: Apache-2.0
"""What every data set goes through: moved cold, then again unchanged and with shares of it edited. Layer: bench.

Ours and the others take turns on the same data. Every round has fresh devices, so that cold is cold; ours goes back and
forth between them, the others copy from left to right each time. Edits are the same on both sides.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figure, rounded
from bench.peers import rsync
from bench.peers.base import Carrier
from bench.runs.handing_over import BackAndForth, Moved, warm_pair, warm_up
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is moved."""

    name: str
    make: Callable[[Path], Path]
    """Makes it at a path that does not exist."""
    edit: Callable[[Path, float, int], None]
    """Edits a share of it, by a seed."""
    changed_goals: dict[float, str] = field(default_factory=dict)
    """Share changed → key of the goal of moving it again."""


@dataclass(slots=True)
class Times:
    """All rounds of one data set."""

    ours: dict[float | None, list[Moved]] = field(default_factory=dict)
    """By share changed; None is cold."""
    others: dict[tuple[str, float | None], list[float]] = field(default_factory=dict)
    """Seconds by name and share changed."""
    restarted: list[Moved] = field(default_factory=list)
    """Unchanged, after both agents were restarted."""

    def changed(self, data: DataSet) -> list[Figure]:
        """A figure for each share changed, beside rsync where it was measured."""
        return [
            Figure(
                f"{data.name}, {label(share)}: command to resumed",
                "s",
                rounded([moved.wall for moved in self.ours[share]], 3),
                rsync.NAME if (rsync.NAME, share) in self.others else "",
                rounded(self.others.get((rsync.NAME, share), []), 3),
                goal=data.changed_goals.get(share, ""),
                series=f"{data.name}, changed",
                at=share,
            )
            for share in self.ours
            if share is not None
        ]

    def after_restart(self, data: DataSet) -> Figure:
        """Nothing changed, but no agent watched meanwhile."""
        return Figure(
            f"{data.name}, unchanged, both agents restarted before: command to resumed",
            "s",
            rounded([moved.wall for moved in self.restarted], 3),
        )


def label(share: float) -> str:
    """A share changed in words."""
    return f"{share:.1%} changed".replace(".0%", "%") if share else "unchanged"


def nothing(others: Sequence[Carrier]) -> None:
    """Compare with nothing more."""


def go_through(stage: Stage, data: DataSet, *, beside: Callable[[Sequence[Carrier]], None] = nothing) -> Times:
    """All rounds.

    Args:
        stage: Where and how often.
        data: What is moved.
        beside: Called in each round just before ours moves cold: one more thing to compare with.

    Raises:
        BenchError: A run failed.
    """
    times = Times()
    for number in range(stage.rounds):
        place = stage.scratch / f"round {number}"
        beside(stage.others)
        _round(stage, place, data, times)
        shutil.rmtree(place)
    return times


def _round(stage: Stage, place: Path, data: DataSet, times: Times) -> None:
    with warm_pair(stage, place) as (left, right):
        ours = data.make(place / "ours" / "session")
        theirs = place / "theirs" / ours.name
        theirs.parent.mkdir()
        subprocess.run(["cp", "-a", str(ours), str(theirs)], check=True)
        session = BackAndForth(left, right, ours)
        times.ours.setdefault(None, []).append(session.go(start=True))
        for other in stage.others:
            taken = other.carry(theirs, place / "copies" / type(other).__name__)
            times.others.setdefault((other.name, None), []).append(taken)
        for seed, share in enumerate(stage.sizes.changes, start=1):
            data.edit(session.path, share, seed)
            times.ours.setdefault(share, []).append(session.go())
            data.edit(theirs, share, seed)
            _again(stage.others, theirs, place, share, times)
        left.restart(stage.engine, right)
        right.restart(stage.engine, left)
        warm_up(left, right, place / "again")
        times.restarted.append(session.go())


def _again(others: Sequence[Carrier], theirs: Path, place: Path, share: float, times: Times) -> None:
    """Only rsync saves anything by what is there already; for the others it is cold each time."""
    for other in others:
        if other.name == rsync.NAME:
            taken = other.carry(theirs, place / "copies" / type(other).__name__)
            times.others.setdefault((other.name, share), []).append(taken)
