# SPDX-License-Identifier: Apache-2.0
"""What a bad link does to frames: loss, bursts, delay, jitter, reordering, duplication. Pure: the clock is an argument.

The decisions come from a seed, one draw after another: the same frames at the same times meet the same fate. Which
frames two live hosts send is theirs to decide, so that a seed repeats the weather of a scenario, not its every step.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

QUEUE_FRAMES: Final = 4096
"""Frames under way in one direction: 6 MB, half a second at 12 MB/s. What comes on top is lost."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to the frames of one direction."""

    loss: float = 0.0
    """Share of frames that are lost, 0 to 1; 1 is a partition."""
    burst: float = 1.0
    """Frames lost in a row, on average: 1 loses each by itself, more is Gilbert's model of bursts."""
    delay: float = 0.0
    """Seconds under way."""
    jitter: float = 0.0
    """Seconds by which the delay varies to either side; order is kept."""
    reorder: float = 0.0
    """Share of frames that stay behind and are overtaken."""
    late: float = 0.02
    """Seconds such a frame comes later, at most."""
    duplicate: float = 0.0
    """Share of frames that arrive twice."""
    largest: int = 65535
    """Bytes of the longest frame that passes: a path that swallows what is longer and says nothing."""


CUT: Final = Faults(loss=1.0)
"""Nothing passes."""


@dataclass(slots=True)
class Counts:
    """What became of the frames of one direction."""

    taken: int = 0
    lost: int = 0
    overflowed: int = 0
    reordered: int = 0
    duplicated: int = 0
    delivered: int = 0


class Direction:
    """The frames of one direction.

    Args:
        seed: Of every decision.
    """

    def __init__(self, seed: int) -> None:
        self.faults = Faults()
        self.counts = Counts()
        self._random = Random(seed)
        self._heap: list[tuple[float, int, bytes]] = []
        self._number = 0
        self._last_due = 0.0
        self._in_burst = False

    def take(self, frame: bytes, now: float) -> None:
        """A frame came in at a time in seconds."""
        self.counts.taken += 1
        if len(frame) > self.faults.largest or self._is_lost():
            self.counts.lost += 1
            return
        copies = 2 if self._happens(self.faults.duplicate) else 1
        self.counts.duplicated += copies - 1
        for _ in range(copies):
            self._enqueue(frame, now)

    def due(self, now: float) -> Iterator[bytes]:
        """The frames whose time has come, in order."""
        while self._heap and self._heap[0][0] <= now:
            self.counts.delivered += 1
            yield heapq.heappop(self._heap)[2]

    def next_due(self) -> float | None:
        """When the next frame leaves; None when none is under way."""
        return self._heap[0][0] if self._heap else None

    def purge(self) -> None:
        """Lose what is under way."""
        self.counts.lost += len(self._heap)
        self._heap.clear()

    def _enqueue(self, frame: bytes, now: float) -> None:
        if len(self._heap) >= QUEUE_FRAMES:
            self.counts.overflowed += 1
            return
        faults = self.faults
        due = now + faults.delay + faults.jitter * self._random.uniform(-1, 1)
        if self._happens(faults.reorder):
            self.counts.reordered += 1
            due = max(due, self._last_due) + faults.late * self._random.random()
        else:
            due = self._last_due = max(due, self._last_due, now)
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, frame))

    def _is_lost(self) -> bool:
        faults = self.faults
        if faults.burst <= 1 or not 0 < faults.loss < 1:
            return self._happens(faults.loss)
        ends = 1 / faults.burst
        begins = ends * faults.loss / (1 - faults.loss)
        self._in_burst = not self._happens(ends) if self._in_burst else self._happens(begins)
        return self._in_burst

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share
