# SPDX-License-Identifier: Apache-2.0
"""A token bucket that is told the time. Layer: signaling, pure. Specification: docs/specs/signaling.md §8."""

from __future__ import annotations


class TokenBucket:
    """Tokens come at a steady rate up to a burst; each message takes one.

    Args:
        rate: Tokens per second, above zero.
        burst: Tokens that a bucket holds at most, and at first.
        now: Monotonic seconds.
    """

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._updated)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._updated = max(self._updated, now)

    def take(self, now: float) -> bool:
        """Take one token if there is one; whether there was."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float) -> float:
        """Take one token on credit; the seconds to pause until it has come, 0 if it was there."""
        self._refill(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def is_full(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting this bucket."""
        self._refill(now)
        return self._tokens >= self._burst
