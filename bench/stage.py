# SPDX-License-Identifier: Apache-2.0
"""What every row is given: where it runs, with which engine, how much, how often. Layer: bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.peers.base import Carrier
from bench.places import Pair
from bench.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Stage:
    """The surroundings of one row."""

    places: Pair
    engine: str
    sizes: Sizes
    rounds: int
    others: Sequence[Carrier]
    """The programs to compare with that carry files, as far as they are here."""
    scratch: Path
    """An empty directory of this row."""

    def within(self, name: str) -> Stage:
        """The same with a directory of its own."""
        scratch = self.scratch / name
        scratch.mkdir()
        return replace(self, scratch=scratch)
