# SPDX-License-Identifier: Apache-2.0
"""The store's counter: how a rolled-back or cloned home is noticed. Layer: I/O ring.

Specification: docs/specs/ownership.md §7.

Every change of ownership state adds one. Peers remember the highest value that this device showed and tell it;
a value below that means that this home is an old copy. Until the state is confirmed it takes part in no
handoff: it may only learn.
"""

from __future__ import annotations

from p2p_handoff.errors import TrustError
from p2p_handoff.store.database import Database


class Counter:
    """The counter of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def value(self) -> int:
        """What this home shows in every handshake."""
        return self._read()[0]

    @property
    def rolled_back(self) -> bool:
        """True from the moment a peer showed that it saw a higher value, until ``confirm``."""
        value, floor = self._read()
        return value < floor

    def witness(self, highest_seen: int) -> bool:
        """Take note of the highest value that a linked peer saw of this device.

        Returns:
            ``rolled_back`` as it is now.
        """
        with self._database.transaction():
            self._database.write("UPDATE home SET floor = max(floor, ?)", (highest_seen,))
        return self.rolled_back

    def forgotten(self) -> None:
        """Inside a transaction: a chain showed a statement of this device that this home does not know."""
        self._database.write("UPDATE home SET floor = max(floor, counter + 1)")

    def confirm(self) -> None:
        """The peers' chains were learned: go on, above everything that anybody saw."""
        with self._database.transaction():
            self._database.write("UPDATE home SET counter = max(counter, floor) + 1")

    def advance(self) -> None:
        """Add one, inside the transaction of the change that it counts.

        What a rolled-back home learns does not count towards what it has forgotten: it stays rolled back.
        """
        self._database.write("UPDATE home SET counter = counter + 1, floor = floor + (counter < floor)")

    def check(self) -> None:
        """Refuse to go on in a home that was rolled back.

        Raises:
            TrustError: It was.
        """
        value, floor = self._read()
        if value < floor:
            raise TrustError(
                f"this data directory is an old copy (its counter is {value}, a peer saw {floor})",
                state="no session changes hands until the state is confirmed",
                advice="let the linked devices come online, or restore the newest copy",
            )

    def _read(self) -> tuple[int, int]:
        ((value, floor),) = self._database.rows("SELECT counter, floor FROM home")
        return value, floor
