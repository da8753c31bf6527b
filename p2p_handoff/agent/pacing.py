# SPDX-License-Identifier: Apache-2.0
"""Whether what changed since the last round fits into the pause that the user allows. Layer: agent.

Specification: docs/specs/handoff-v2.md §6 (rounds).
"""

from __future__ import annotations

import math
from typing import Final

from p2p_handoff.errors import RestlessError

MAX_ROUNDS: Final = 10
"""A session that still changes too fast after this many rounds ends the handoff instead of looping."""
MEASURED_FROM: Final = 1_000_000
"""Bytes that a round has to carry for its rate to mean anything."""
ROOM: Final = 1.5
"""What is advised, as a multiple of what the last round would have needed."""
LONGEST_PAUSE: Final = 60_000
"""Milliseconds that a user may allow."""
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
        self._needed = 0.0
        """Seconds that what the last round carried would take; 0 before one was judged."""

    def check(self, number: int) -> None:
        """Called before a round is begun; ``number``: from 1 on.

        Raises:
            RestlessError: It would be one too many; says which pause would do.
        """
        if number > MAX_ROUNDS:
            what = (
                f"the session changes faster than it can be copied within a pause of {self._max_pause * 1000:,.0f} ms"
            )
            raise RestlessError(what, advice=self._advice())

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
        self._needed = carried / rate
        return carried <= rate * self._max_pause

    def _advice(self) -> str:
        wished = math.ceil(self._needed * ROOM * 10) * 100
        if not self._max_pause * 1000 < wished <= LONGEST_PAUSE:
            return "wait until it rests, or allow a longer one (--max-pause)"
        return f"allow a longer one (--max-pause {wished} would do), or wait until it rests"
