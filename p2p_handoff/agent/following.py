# SPDX-License-Identifier: Apache-2.0
"""Follows the real things behind sessions while they change. Layer: agent. Specification: docs/specs/adapters.md §1.

After a change a picture is taken in the background: a conversation's new lines are in its document before anybody
asks, and a handoff finds almost nothing left to read. Where this device is not the primary, what was edited here is
counted instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from p2p_handoff.agent.catalog import Catalog, Picture
from p2p_handoff.agent.contributions import Contributions
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.search_ahead import SearchAhead
from p2p_handoff.errors import HandoffError, NotInPlaceError
from p2p_handoff.ids import SessionId
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.5
"""A change is looked at when nothing more changed for so long …"""
LONGEST_WAIT = 5.0
"""… or when it is so old."""
_TELLING = frozenset(("session-started", "session-stopped", "handoff", "released", "owner", "forked", "rejoined"))
"""Events after which other sessions are to be watched."""


class Follower:
    """Watches the parts of all sessions that were not stopped.

    Args:
        store: Knows the sessions.
        catalog: Opens and pictures them.
        contributions: Counts what is edited where this device is not the primary.
        events: Told ``followed`` once a session's watchers listen, ``changed`` after a picture that differs.
        ahead: Searches what changed.
    """

    def __init__(
        self, store: Store, catalog: Catalog, contributions: Contributions, events: Events, ahead: SearchAhead
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._contributions = contributions
        self._events = events
        self._ahead = ahead
        self._watched: dict[SessionId, _Watch] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._cancel = events.subscribe(self._session_changed)

    def refresh(self) -> None:
        """Watch what should be watched now, and nothing else."""
        wanted = {
            record.id: record.ownership.role is Role.PRIMARY
            for record in self._store.sessions.all()
            if not record.stopped
        }
        for session, watch in list(self._watched.items()):
            if wanted.get(session) is not watch.primary:
                self._end(self._watched.pop(session))
                self._contributions.forget(session)
        for session in wanted.keys() - self._watched.keys():
            self._watched[session] = self._watch(session, primary=wanted[session])

    def _watch(self, session: SessionId, *, primary: bool) -> _Watch:
        return _Watch(session, self._catalog, self._events, self._ahead, None if primary else self._contributions)

    async def close(self) -> None:
        """Watch nothing any more."""
        self._cancel()
        watches, self._watched = list(self._watched.values()), {}
        for watch in watches:
            self._end(watch)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, watch: _Watch) -> None:
        """Stop a watch and remember it until its threads are gone: they must not outlive the loop that they wake."""
        watch.stop()
        self._ending.add(watch.task)
        watch.task.add_done_callback(self._ending.discard)

    def _session_changed(self, name: str, _fields: object) -> None:
        if name in _TELLING:
            self.refresh()


class _Watch:
    """One session's watchers and the task that takes pictures, or counts contributions."""

    def __init__(
        self,
        session: SessionId,
        catalog: Catalog,
        events: Events,
        ahead: SearchAhead,
        contributions: Contributions | None,
    ) -> None:
        self.primary = contributions is None
        self._session = session
        self._catalog = catalog
        self._events = events
        self._ahead = ahead
        self._contributions = contributions
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._stops: list[Callable[[], None]] = []
        self.task = self._loop.create_task(self._run(), name=f"follow {session[:6]}")

    def stop(self) -> None:
        """Stop watching."""
        self.task.cancel()

    async def _run(self) -> None:
        try:
            await self._begin()
            self._events.emit("followed", session=self._session)
            await self._look_first()
            root: object = None  # The first change is told, also when the first look has seen it already.
            while True:
                await self._changed.wait()
                await self._calm_down()
                root = await self._look(root)
        except HandoffError as error:
            # A part that is gone is not followed; the next handoff says so in words.
            log.info("session %s is not followed: %s", self._session[:6], error)
        finally:
            for stop in self._stops:
                await asyncio.shield(asyncio.to_thread(stop))

    async def _begin(self) -> None:
        for binding in self._catalog.bindings(self._session):
            if binding.path is not None and binding.held_by is None:
                part = await asyncio.to_thread(self._catalog.open_part, binding)
                starting = asyncio.ensure_future(asyncio.to_thread(part.watch, self._notice))
                try:
                    self._stops.append(await asyncio.shield(starting))
                except asyncio.CancelledError:
                    # A watcher that is being made cannot be recalled; it is stopped once it is there.
                    self._stops.append(await starting)
                    raise

    def _notice(self) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    async def _calm_down(self) -> None:
        deadline = self._loop.time() + LONGEST_WAIT
        while self._changed.is_set() and self._loop.time() < deadline:
            self._changed.clear()
            await asyncio.sleep(QUIET_SECONDS)
        self._changed.clear()

    async def _look_first(self) -> None:
        """See what was edited while no agent ran; from here on only what changes has to be looked at."""
        if self._contributions is not None:
            await self._contributions.look(self._session)
            return
        with contextlib.suppress(HandoffError):  # It is followed nevertheless: the next change may make it good.
            await self._picture()

    async def _picture(self) -> Picture | None:
        """None where something is not in place yet: it is looked at when it is."""
        try:
            return await asyncio.to_thread(self._catalog.picture, self._session)
        except NotInPlaceError:
            self._loop.call_later(QUIET_SECONDS, self._changed.set)
            return None

    async def _look(self, before: object) -> object:
        if self._contributions is not None:
            return await self._contributions.look(self._session)
        picture = await self._picture()
        if picture is None:
            return before
        self._ahead.start(self._session, picture.snapshots)
        root = tuple(part.root for part in picture.manifest.parts)
        if root != before:
            items = sum(part.items for part in picture.manifest.parts)
            self._events.emit("changed", session=self._session, title=picture.manifest.title, items=items)
        return root
