# SPDX-License-Identifier: Apache-2.0
"""How fast something grows now: bytes per second over the last few seconds. Layer: agent, pure.

Specification: docs/cli.md §7 (progress). An average over all of a handoff would tell of a pause in it for ever; the
last moment alone jumps with every batch.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 3.0
"""Seconds that are looked back at, as far as it was marked so often."""


class Rate:
    """Call ``mark`` a few times a second while something moves, and ``per_second`` whenever somebody asks."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def begin(self, total: int, now: float) -> None:
        """It moves again: the time before does not count.

        Args:
            total: Bytes so far.
            now: Seconds on a clock that never runs backwards.
        """
        self._marks.clear()
        self.mark(total, now)

    def mark(self, total: int, now: float) -> None:
        """Remember how far it is now."""
        self._marks.append((now, total))
        while len(self._marks) > 1 and now - self._marks[1][0] >= WINDOW:
            self._marks.popleft()

    def per_second(self, total: int, now: float) -> float:
        """Bytes per second; 0 before anything can be said."""
        if not self._marks or now <= self._marks[0][0]:
            return 0.0
        since, before = self._marks[0]
        return (total - before) / (now - since)
