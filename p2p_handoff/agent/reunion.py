# SPDX-License-Identifier: Apache-2.0
"""Brings forks and their originals together again, as soon as the original's fate is known. Layer: agent.

Specification: docs/specs/ownership.md §3 (reunion). Nothing here is decided twice: what is to be done is read from the
store each time something happens that may matter, so a crash at any step is taken up by the next look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from p2p_handoff.agent.catalog import is_there
from p2p_handoff.agent.forking import copy_state
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import SessionId
from p2p_handoff.session.manifest import decode_manifest
from p2p_handoff.session.ownership import Role, is_lost
from p2p_handoff.store.forks import Fork, ForkState
from p2p_handoff.store.records import SessionRecord

log = logging.getLogger(__name__)

_TELLING: Final = frozenset(
    ("connected", "forked", "rejoined", "handoff", "handoff-failed", "released", "owner", "session-started", "undone")
)
"""Events after which a fork and its original may come together."""


class Reunion:
    """The open forks of one agent.

    Args:
        services: The agent's parts.
        is_busy: Tells whether a handoff of a session is under way.
    """

    def __init__(self, services: Services, is_busy: Callable[[SessionId], bool]) -> None:
        self._services = services
        self._is_busy = is_busy
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = services.events.subscribe(self._heard)

    def start(self) -> None:
        """Look at every open fork now, and again whenever something happened that may matter."""
        self._news.set()
        self._task = asyncio.create_task(self._run(), name="reunion")

    async def close(self) -> None:
        """Stop looking; what is under way is taken up at the next start."""
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _heard(self, name: str, _fields: Mapping[str, Any]) -> None:
        if name in _TELLING:
            self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            for fork in self._services.store.forks.open():
                try:
                    await self._look(fork)
                except Exception as error:
                    known = error if isinstance(error, HandoffError) else None
                    log.error("fork %s stays for now: %s", fork.fork[:6], error, exc_info=None if known else error)

    async def _look(self, fork: Fork) -> None:
        sessions = self._services.store.sessions
        original, copy = sessions.get(fork.original), sessions.get(fork.fork)
        if original is None or copy is None or copy.ownership.role is not Role.PRIMARY:
            return
        if is_lost(original.ownership, me=self._services.identity.device):
            return  # Nobody has the original any more: the fork is what there is.
        if self._is_moving(fork.original) or self._is_moving(fork.fork):
            return
        if original.ownership.role is Role.PRIMARY:
            await in_thread(self._end, fork, original)
            self._tell(fork, copy)

    def _is_moving(self, session: SessionId) -> bool:
        store = self._services.store
        placing = any(commit.session == session for commit in store.incoming.pending_commits())
        return placing or self._is_busy(session) or store.generations.change_of(session) is not None

    def _end(self, fork: Fork, original: SessionRecord) -> None:
        """The original takes back its paths, with all that the fork's adapters remember. Blocks."""
        services = self._services
        catalog = services.catalog
        with catalog.guard(fork.original), catalog.guard(fork.fork):
            for binding in catalog.bindings(fork.fork):
                if is_there(binding):
                    copy_state(catalog.state_dir(fork.fork, binding.part), catalog.state_dir(original.id, binding.part))
            services.store.forks.end(fork.fork, at=services.clock())
            catalog.forget_open(fork.fork)
            catalog.forget_open(fork.original)
            if original.ownership.role is not Role.PRIMARY:
                self._remember_common(fork)

    def _remember_common(self, fork: Fork) -> None:
        """The original was handed over as it was granted: that, not what the fork added, is the last common state."""
        catalog = self._services.catalog
        roots = {part.id: part.root for part in decode_manifest(fork.manifest).parts}
        for binding in catalog.bindings(fork.original):
            if is_there(binding) and binding.part in roots:
                try:
                    catalog.open_part(binding).release(roots[binding.part])
                except HandoffError as error:
                    log.warning("part %s of %s keeps an older common state: %s", binding.part, fork.original[:6], error)

    def _tell(self, fork: Fork, copy: SessionRecord) -> None:
        ended = self._services.store.forks.get(fork.fork)
        state = ended.state if ended is not None else ForkState.OPEN
        log.info("fork %s is over: %s", fork.fork[:6], state.value)
        self._services.events.emit(
            "rejoined", session=fork.original, fork=fork.fork, title=copy.title, state=state.value
        )
