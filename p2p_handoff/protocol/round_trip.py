# SPDX-License-Identifier: Apache-2.0
"""The round-trip time of one connection, from its pings. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3 (Ping, Pong); smoothed as in RFC 6298 §2. Each ping has a number, so that a
late answer is never taken for that of another one. What waits in queues on the way counts: it is what a message takes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_OUTSTANDING: Final = 8
"""Pings whose answer is awaited: a peer that sends content and answers none must not make this grow."""
_ALPHA: Final = 1 / 8
_BETA: Final = 1 / 4


class RoundTrip:
    """Call ``asked`` for every ping that goes out and ``answered`` for every pong that comes in."""

    def __init__(self) -> None:
        self.smoothed: float | None = None
        """Seconds; None before the first answer."""
        self.variation = 0.0
        """Seconds: the smoothed distance of a single answer from it."""
        self._awaited: deque[tuple[int, float]] = deque(maxlen=_OUTSTANDING)

    def asked(self, number: int, now: float) -> None:
        """A ping goes out; ``now`` in seconds on a clock that never runs backwards."""
        self._awaited.append((number, now))

    def answered(self, number: int, now: float) -> None:
        """A pong came in; one that nobody waits for means nothing."""
        if all(number != asked for asked, _ in self._awaited):
            return
        while True:
            asked, at = self._awaited.popleft()
            if asked == number:
                break  # Those before it are answered by nobody any more: the channel keeps the order.
        self._take(now - at)

    def _take(self, seconds: float) -> None:
        if self.smoothed is None:
            self.smoothed, self.variation = seconds, seconds / 2
            return
        self.variation += _BETA * (abs(self.smoothed - seconds) - self.variation)
        self.smoothed += _ALPHA * (seconds - self.smoothed)
