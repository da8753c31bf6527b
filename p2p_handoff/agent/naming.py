# SPDX-License-Identifier: Apache-2.0
"""Which session a person means: the one rule of all commands. Layer: agent. Specification: docs/cli.md §1.

What is named is a title, an id or a path. Where nothing is named it is the session of the folder that the person
stands in, or of a folder above it; else the only one there is.
"""

from __future__ import annotations

from pathlib import Path

from p2p_handoff.agent.catalog import Catalog, real_place
from p2p_handoff.errors import AmbiguousError, NotFoundError
from p2p_handoff.store.records import SessionRecord
from p2p_handoff.store.store import Store


class Naming:
    """Finds the sessions of one agent.

    Args:
        store: Knows the sessions.
        catalog: Knows their places.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def running(self) -> list[SessionRecord]:
        """Sessions on this device that were not stopped."""
        return [record for record in self._store.sessions.all() if not record.stopped]

    def meant(self, text: str | None, here: Path | None = None) -> SessionRecord:
        """The session that is meant.

        Args:
            text: A title, an id, the beginning of one, or a path; None where nothing is named.
            here: The directory that the person stands in, if that is known: a relative path is seen from there.

        Raises:
            NotFoundError: None is; where nothing was named the sentence lists what there is.
            AmbiguousError: Several are.
        """
        if text is None:
            found = self.around(here) if here is not None else None
            return found or self._only()
        return self._catalog.find(text, here)

    def around(self, here: Path) -> SessionRecord | None:
        """The session of a folder, or of the nearest one above it."""
        place = real_place(here)
        if place is None:
            return None
        return next((known for at in (place, *place.parents) if (known := self._catalog.at_path(at))), None)

    def _only(self) -> SessionRecord:
        running = self.running()
        if len(running) == 1:
            return running[0]
        if not running:
            raise NotFoundError("no session is running", advice="'handoff start' or 'handoff to' makes one")
        names = ", ".join(f"{record.title} ({record.id[:8]})" for record in running)
        raise AmbiguousError(f"several sessions are running: {names}", advice="name one, or go into its folder")
