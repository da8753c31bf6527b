# SPDX-License-Identifier: Apache-2.0
"""What another program must do to stand beside ours: carry a path from one place to the other. Layer: bench."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class PeerMissingError(Exception):
    """Another program that ours is compared with cannot be had here."""


class Carrier(Protocol):
    """A program that copies between the two places."""

    @property
    def name(self) -> str:
        """As the table shows it."""

    def carry(self, source: Path, into: Path) -> float:
        """Copy a file or folder from the left place into a directory on the right one.

        Args:
            source: On the left.
            into: On the right; what is there of that name already may save work.

        Returns:
            Seconds from starting the command to its end.

        Raises:
            BenchError: It failed.
        """
