# SPDX-License-Identifier: Apache-2.0
"""Whether what changed since the last round fits into the pause that the user allows. Layer: agent.

Specification: docs/specs/handoff-v2.md §6 (rounds).
"""

from __future__ import annotations

from typing import Final

from p2p_handoff.errors import HandoffError

MAX_ROUNDS: Final = 10
"""A session that still changes too fast after this many rounds ends the handoff instead of looping."""
MEASURED_FROM: Final = 1_000_000
"""Bytes that a round has to carry for its rate to mean anything."""
ASSUMED_RATE: Final = 2_000_000.0
"""Bytes per second assumed for the pause until something was measured: the slow engine's slow end."""


class Pacing:
    """The rounds of one source.

    Args:
        max_pause: Seconds.
    """

    def __init__(self, max_pause: float) -> None:
        self._max_pause = max_pause
        self._began = 0.0
        self._sent_before = 0

    def check(self, number: int) -> None:
        """Called before a round is begun; ``number``: from 1 on.

        Raises:
            HandoffError: It would be one too many.
        """
        if number > MAX_ROUNDS:
            what = "the session changes faster than it can be copied within the allowed pause"
            raise HandoffError(what, advice="allow a longer one (--max-pause), or wait until it rests")

    def begin(self, sent: int, now: float) -> None:
        """Another round goes out.

        Args:
            sent: Bytes sent so far.
            now: Seconds, on any clock.
        """
        self._began, self._sent_before = now, sent

    def fits(self, sent: int, now: float) -> bool:
        """Whether as much again as the last round carried would fit: the best guess at what the next one would.

        Args:
            sent: Bytes sent so far.
            now: Seconds, on the same clock.
        """
        carried, elapsed = sent - self._sent_before, now - self._began
        rate = carried / elapsed if carried > MEASURED_FROM and elapsed > 0 else ASSUMED_RATE
        return carried <= rate * self._max_pause
