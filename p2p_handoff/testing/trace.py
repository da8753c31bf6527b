# SPDX-License-Identifier: Apache-2.0
"""What happened in a simulated run, line by line: the same seed gives the same lines. Layer: testing, public.

Specification: docs/testing.md §5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

_SHOWN: Final = ("outcome", "reason", "phase", "round", "epoch", "direction", "name")
"""Fields of events that are the same in every run of a seed and worth reading."""
_QUIET: Final = frozenset(("progress",))


class Trace:
    """The lines of one run.

    Args:
        clock: Simulated seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.lines: list[str] = []

    def note(self, who: str, what: str) -> None:
        """Add a line."""
        self.lines.append(f"{self._clock():12.6f}  {who:<10} {what}")

    def event(self, who: str, name: str, fields: Mapping[str, Any]) -> None:
        """Add an agent's event."""
        if name in _QUIET:
            return
        shown = [f"{key}={fields[key]}" for key in _SHOWN if fields.get(key) not in (None, "")]
        txn = str(fields["txn"])[:6] if "txn" in fields else ""
        self.note(who, " ".join(["*", name, txn, *shown]).replace("  ", " "))

    def text(self, last: int | None = None) -> str:
        """All lines, or the last so many."""
        lines = self.lines if last is None else self.lines[-last:]
        return "\n".join(lines)

    def digest(self) -> str:
        """A short name for exactly these lines."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:16]
