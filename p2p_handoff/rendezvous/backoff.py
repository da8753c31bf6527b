# SPDX-License-Identifier: Apache-2.0
"""How long to wait before dialling again. Layer: I/O ring, pure.

Exponential with jitter, so that the devices of a relay that restarts do not all come back at once
(Brooker, "Exponential Backoff and Jitter", AWS 2015). Specification: docs/specs/signaling.md §11.
"""

from __future__ import annotations

from p2p_handoff.ids import Entropy
from p2p_handoff.limits import RELAY_RETRY_MAX, RELAY_RETRY_MIN


class Backoff:
    """Counts failures in a row.

    Args:
        entropy: Source of the jitter.
    """

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._pause = RELAY_RETRY_MIN

    def reset(self) -> None:
        """The last connection was a good one."""
        self._pause = RELAY_RETRY_MIN

    def exhaust(self) -> None:
        """Trying again soon is of no use: go to the longest pause."""
        self._pause = RELAY_RETRY_MAX

    def next(self) -> float:
        """Seconds to wait now: from half of the pause to all of it; the following pause is twice as long."""
        pause = self._pause
        self._pause = min(RELAY_RETRY_MAX, pause * 2)
        share = int.from_bytes(self._entropy(4), "big") / 2**32
        return pause / 2 + pause / 2 * share
