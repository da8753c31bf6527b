# SPDX-License-Identifier: Apache-2.0
"""Searches for secrets beside whatever else goes on. Layer: agent. Specification: docs/specs/secrets.md §3.

Nobody waits for it and nothing fails with it: who needs the result looks again, and finds it remembered. So it is for
what is only listed; what may be held back is searched by whoever lets it leave.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping

from p2p_handoff.adapters.base import PartPicture
from p2p_handoff.agent.secret_search import SecretSearch
from p2p_handoff.agent.work import in_thread
from p2p_handoff.errors import CancelledError, HandoffError
from p2p_handoff.ids import PartId, SessionId

log = logging.getLogger(__name__)


class SearchAhead:
    """One search at a time: threads are few.

    Args:
        search: Searches, and remembers.
    """

    def __init__(self, search: SecretSearch) -> None:
        self._search = search
        self._stopped = threading.Event()
        self._turn = asyncio.Lock()
        self._tasks: dict[SessionId, asyncio.Task[None]] = {}

    def start(self, session: SessionId, pictures: Mapping[PartId, PartPicture]) -> None:
        """Begin, unless a search of the session is under way: what that one leaves out, the next one finds.

        Args:
            session: Whose parts they are.
            pictures: What to search.
        """
        if self._stopped.is_set() or session in self._tasks:
            return
        task = asyncio.create_task(self._run(session, dict(pictures)), name=f"search {session[:6]}")
        self._tasks[session] = task
        task.add_done_callback(lambda _: self._tasks.pop(session))

    def stop(self) -> None:
        """End what is under way, at the next chunk; nothing begins any more."""
        self._stopped.set()

    async def close(self) -> None:
        """Stop, and wait for the end of it."""
        self.stop()
        await asyncio.gather(*self._tasks.values())

    async def _run(self, session: SessionId, pictures: Mapping[PartId, PartPicture]) -> None:
        for part, picture in pictures.items():
            try:
                async with self._turn:
                    await in_thread(self._search.look, (session, part), picture, skim=True, stop=self._stopped)
            except CancelledError:
                return
            except HandoffError as error:
                log.info("part %s is not searched ahead: %s", part, error)
