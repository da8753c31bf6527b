# SPDX-License-Identifier: Apache-2.0
"""How far a handoff is, as both sides tell it: the stable keys of the event ``progress``. Layer: agent, pure.

Specification: docs/cli.md §7 (progress).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Headway:
    """One moment of a handoff."""

    phase: str
    """The state of this side's machine, such as ``copying``."""
    round: int
    bytes: int
    """Uncompressed bytes moved so far, in all rounds."""
    remaining: int
    """Uncompressed bytes still missing, as far as known: what changed may be known only once its index is here."""
    objects: int
    """Pieces moved so far."""
    total_bytes: int
    """Of all content of the parts, moved or not."""
    reused_chunks: int
    """Pieces of what changed that the target had already; the source hears of it after each round."""
    reused_bytes: int
    rate: float
    """Uncompressed bytes per second over the last few seconds."""
    left: float | None
    """Seconds until what is missing has moved at that rate; None while nothing moves."""
    seconds: float
    """Since the handoff began."""

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        left = None if self.left is None else round(self.left, 1)
        return {**asdict(self), "rate": round(self.rate), "left": left, "seconds": round(self.seconds, 3)}


def time_left(remaining: int, rate: float) -> float | None:
    """Seconds that so many bytes take at a rate in bytes per second; None while nothing moves."""
    return remaining / rate if rate > 0 else None
