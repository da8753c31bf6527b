# SPDX-License-Identifier: Apache-2.0
"""Adds up how long something took that comes and goes. Layer: agent, pure."""

from __future__ import annotations


class Stopwatch:
    """Stands still at first. Times are seconds on a clock that never runs backwards."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None

    def start(self, now: float) -> None:
        """It goes on from now; one that runs already runs on."""
        if self._since is None:
            self._since = now

    def stop(self, now: float) -> None:
        """It stands still from now."""
        self._before = self.seconds(now)
        self._since = None

    def seconds(self, now: float) -> float:
        """What it has run in all."""
        return self._before + (now - self._since if self._since is not None else 0.0)
