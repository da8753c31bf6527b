# SPDX-License-Identifier: Apache-2.0
"""What a counter says of the home that shows it. Layer: session, pure. Specification: docs/specs/ownership.md §7.

Connections overtake each other, so that a counter lower than the highest one seen may just be older. It proves an old
copy where it was shown after this device had asked for the connection, and had seen a higher one by then.
"""

from __future__ import annotations

from enum import Enum


class Freshness(Enum):
    """What a peer's store counter says about its home."""

    CURRENT = "current"
    UNCLEAR = "unclear"
    """Another connection showed a higher one meanwhile: it may have been sent before that, or by an old copy."""
    ROLLED_BACK = "rolled-back"
    """It showed a higher one before: its home is an old copy."""


def judge(counter: int, *, highest: int, before: int) -> Freshness:
    """Judge what a peer shows.

    Args:
        counter: Its store counter.
        highest: The highest that it ever showed.
        before: The highest that it had certainly shown before it sent this one: on the same connection, or to this
            device by the time that it made its part of the exchange from which the connection came.
    """
    if counter < before:
        return Freshness.ROLLED_BACK
    return Freshness.UNCLEAR if counter < highest else Freshness.CURRENT
