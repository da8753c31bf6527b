# SPDX-License-Identifier: Apache-2.0
"""The store's counter: how a rolled-back or cloned home is noticed. Layer: I/O ring.

Specification: docs/specs/ownership.md §7. The rules are in session.home; here the home's mark is kept.
"""

from __future__ import annotations

from p2p_handoff.session import home
from p2p_handoff.session.home import Mark
from p2p_handoff.store.database import Database


class Counter:
    """The counter of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def mark(self) -> Mark:
        """How far this home is."""
        ((counter, floor),) = self._database.rows("SELECT counter, floor FROM home")
        return Mark(counter, floor)

    @property
    def value(self) -> int:
        """What this home shows in every handshake."""
        return self.mark.counter

    @property
    def rolled_back(self) -> bool:
        """True from the moment a peer showed that it saw a higher value, until ``confirm``."""
        return self.mark.rolled_back

    def witness(self, highest_seen: int) -> bool:
        """Take note of the highest value that a linked peer saw of this device.

        Returns:
            ``rolled_back`` as it is now.
        """
        with self._database.transaction():
            self._set(home.witnessed(self.mark, highest_seen))
        return self.rolled_back

    def forgotten(self) -> None:
        """Inside a transaction: a chain showed a statement of this device that this home does not know."""
        self._set(home.forgotten(self.mark))

    def confirm(self) -> None:
        """The peers' chains were learned: go on, above everything that anybody saw."""
        with self._database.transaction():
            self._set(home.confirmed(self.mark))

    def advance(self) -> None:
        """Add one, inside the transaction of the change that it counts."""
        self._set(home.advance(self.mark))

    def check(self) -> None:
        """Refuse to go on in a home that was rolled back.

        Raises:
            TrustError: It was.
        """
        home.check(self.mark)

    def _set(self, mark: Mark) -> None:
        self._database.write("UPDATE home SET counter = ?, floor = ?", (mark.counter, mark.floor))
