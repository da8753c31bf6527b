# SPDX-License-Identifier: Apache-2.0
"""The store of one home, put together. Layer: I/O ring. Specification: docs/specs/store.md.

Synchronous: calls are short, and a change is on the disk when its call returns. One agent per home
(``store.home.lock``) is what makes reading before writing safe.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from p2p_handoff.errors import TrustError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.store.addresses import Addresses
from p2p_handoff.store.circle import CircleStatements
from p2p_handoff.store.counter import Counter
from p2p_handoff.store.database import Database, open_database
from p2p_handoff.store.forks import Forks
from p2p_handoff.store.generations import Generations
from p2p_handoff.store.incoming import IncomingHandoffs
from p2p_handoff.store.links import Links
from p2p_handoff.store.outgoing import OutgoingHandoffs
from p2p_handoff.store.ownership import OwnershipStore
from p2p_handoff.store.ownership_rows import OwnershipRows
from p2p_handoff.store.sessions import Sessions


class Store:
    """Everything that a device remembers."""

    def __init__(self, database: Database, me: DeviceId) -> None:
        """Use ``open_store``."""
        self._database = database
        self.counter = Counter(database)
        self.links = Links(database)
        self.circle = CircleStatements(database)
        self.addresses = Addresses(database)
        self.sessions = Sessions(database, self.counter)
        rows = OwnershipRows(database, self.sessions, self.counter, me)
        self.outgoing = OutgoingHandoffs(rows)
        self.incoming = IncomingHandoffs(rows)
        self.ownership = OwnershipStore(rows, self.outgoing)
        self.forks = Forks(rows)
        self.generations = Generations(database)

    def is_placing(self, session: SessionId) -> bool:
        """Whether a part of a session is accepted and not in place, or an undo or a merge of it is under way."""
        placing = any(commit.session == session for commit in self.incoming.pending_commits())
        return placing or self.generations.change_of(session) is not None

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(path: Path, me: DeviceId, opened: Callable[[Path], Database] = open_database) -> Store:
    """Open the store of a home; create it where there is none.

    Args:
        path: The database file; its directory exists and is private.
        me: The device whose home this is.
        opened: Opens the file.

    Raises:
        StorageError: It cannot be opened, is damaged, or was written by a newer version.
        TrustError: It belongs to another device.
    """
    database = opened(path)
    try:
        _claim(database, me)
    except BaseException:
        database.close()
        raise
    return Store(database, me)


def _claim(database: Database, me: DeviceId) -> None:
    with database.transaction():
        database.write("INSERT INTO home (only_row, device) VALUES (1, ?) ON CONFLICT DO NOTHING", (me,))
        ((owner,),) = database.rows("SELECT device FROM home")
    if owner != me:
        raise TrustError(
            f"this data directory belongs to device {owner}, and the key in it is the one of {me}",
            advice="put the right identity file back",
        )
