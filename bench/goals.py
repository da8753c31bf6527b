# SPDX-License-Identifier: Apache-2.0
"""What the figures must reach, as data: the table that a benchmark is judged by. Layer: bench, pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Of(StrEnum):
    """Which number of a figure is judged."""

    VALUE = "value"
    RATIO = "ratio"


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the table of goals."""

    text: str
    """What is measured."""
    limit: float
    of: Of = Of.RATIO
    at_least: bool = False
    """The number must be the limit or more; else the limit or less."""
    stretch: float | None = None
    """What would be better still."""

    def met(self, number: float) -> bool:
        """Whether a number reaches the limit."""
        return number >= self.limit if self.at_least else number <= self.limit

    @property
    def wanted(self) -> str:
        """The limit in signs, such as ``≤ 0.5 (stretch 0.25)``."""
        stretch = f" (stretch {self.stretch:g})" if self.stretch is not None else ""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{stretch}"


GOALS: Final[dict[str, Goal]] = {
    "random wrtc": Goal("random gigabyte, ours ÷ raw data channel, wrtc", 0.85, at_least=True),
    "random aiortc": Goal("random gigabyte, ours ÷ raw data channel, aiortc", 0.95, at_least=True),
    "tree cold, rsync": Goal("real tree cold, start + to, time ÷ rsync over ssh", 1.2, stretch=0.8),
    "tree cold, magic-wormhole": Goal("real tree cold, start + to, time ÷ magic-wormhole", 0.5),
    "tree 1%": Goal("real tree, 1% changed: command to resumed ÷ rsync", 0.5, stretch=0.25),
    "unchanged": Goal("unchanged 1 GB session, watch unbroken: command to resumed ÷ rsync", 0.3),
    "unchanged, flat": Goal("unchanged session: time with 100 times the files ÷ time", 1.5),
    "pause": Goal("pause in ms, 1 GB session, 50 edits a second, 95th percentile", 150, Of.VALUE, stretch=100),
    "edits lost": Goal("edits lost under that writer", 0, Of.VALUE),
    "conversation": Goal("100 KB conversation, command to resumed ÷ magic-wormhole 1 KiB", 0.25, stretch=0.15),
    "hand back": Goal("hand back after a 1 KB edit in a 100 MB session: KB on the wire", 64, Of.VALUE),
    "memory": Goal("peak memory in MB, 10 GiB file, either side", 250, Of.VALUE),
    "memory, flat": Goal("peak memory, 10 GiB file ÷ 1 GiB file", 1.2),
    "help": Goal("handoff --help ÷ python -c pass", 5),
    "store": Goal("store beyond the session, 1 GB, three generations of 1% change each, ÷ session", 0.15),
    # Time that grows in proportion has the exponent 1; the rest is what measuring twice differs by.
    "growth, bytes": Goal("growth: exponent of time against bytes, three decades", 1.1, Of.VALUE),
    "growth, files": Goal("growth: exponent of time against files, three decades", 1.1, Of.VALUE),
}
