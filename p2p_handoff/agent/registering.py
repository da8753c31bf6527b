# SPDX-License-Identifier: Apache-2.0
"""Things become sessions of this device, leave the list, and are taken up again. Layer: agent.

Specification: docs/cli.md §3 (``handoff start``, ``handoff stop``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from p2p_handoff.agent.catalog import Catalog, Snapshots, real_place
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.naming import Naming
from p2p_handoff.agent.search_ahead import SearchAhead
from p2p_handoff.errors import NotFoundError
from p2p_handoff.ids import SessionId
from p2p_handoff.store.records import SessionRecord
from p2p_handoff.store.store import Store


class Registering:
    """Registers sessions of one agent.

    Args:
        store: Where they are kept.
        catalog: Knows their places.
        naming: Finds the one that a person means.
        events: Told of what starts and stops.
        ahead: Searches what starts, so that its first handoff has not to.
    """

    def __init__(self, store: Store, catalog: Catalog, naming: Naming, events: Events, ahead: SearchAhead) -> None:
        self._store = store
        self._catalog = catalog
        self._naming = naming
        self._events = events
        self._ahead = ahead

    async def start(self, paths: Iterable[Path | str], title: str | None = None) -> SessionRecord:
        """Make a session of real things; one of them that was stopped is taken up again.

        Raises:
            NotFoundError, UsageError: A path is missing, taken, or of no known kind.
        """
        found = [Path(path) for path in paths]
        stopped = self._catalog.stopped_at(found)
        if stopped is None:
            pictures: dict[SessionId, Snapshots] = {}
            record = await asyncio.to_thread(self._catalog.start, found, title, pictures.__setitem__)
            self._ahead.start(record.id, pictures[record.id])
        else:
            self._store.sessions.set_stopped(stopped.id, stopped=False)
            record = stopped
        self._events.emit("session-started", session=record.id, title=record.title)
        return record

    def stop(self, record: SessionRecord) -> None:
        """Take a session off the list; its files stay where they are."""
        self._store.sessions.set_stopped(record.id, stopped=True)
        self._catalog.forget_open(record.id)
        self._events.emit("session-stopped", session=record.id, title=record.title)

    async def meant(self, wish: str | Path | None, here: Path | None = None) -> SessionRecord:
        """The session that is meant; a path that is in none becomes one, and one that was stopped is taken up again.

        Args:
            wish: What the person typed; None for the folder ``here``, and where that is None for the only session.
            here: The directory that the person stands in, where there is one.

        Raises:
            NotFoundError, AmbiguousError, UsageError: Which session is not clear.
        """
        if wish is None and here is not None:
            wish = here if self._naming.around(here) is None else None
        try:
            record = self._naming.meant(None if wish is None else str(wish), here)
        except NotFoundError:
            place = None if wish is None else await asyncio.to_thread(real_place, wish, here)
            if place is None or not await asyncio.to_thread(place.exists):
                raise
            return await self.start([place])
        if record.stopped and not self._store.forks.is_over(record.id):
            self._store.sessions.set_stopped(record.id, stopped=False)
        return record
