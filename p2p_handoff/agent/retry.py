# SPDX-License-Identifier: Apache-2.0
"""Exponential backoff with jitter. Layer: agent. Specification: docs/specs/handoff-v2.md §8."""

from __future__ import annotations

from collections.abc import Iterator

from p2p_handoff.ids import Entropy

FIRST_DELAY = 0.25
MAX_DELAY = 8.0


def delays(entropy: Entropy, *, first: float = FIRST_DELAY, limit: float = MAX_DELAY) -> Iterator[float]:
    """Seconds to wait before each further attempt, without end.

    Each is drawn between half and all of a span that doubles up to ``limit``, so that devices which lost each
    other at the same moment do not dial at the same moment for ever.
    """
    span = first
    while True:
        yield span / 2 * (1 + entropy(1)[0] / 255)
        span = min(span * 2, limit)
