# SPDX-License-Identifier: Apache-2.0
"""How a home that was rolled back takes part again. Layer: agent. Specification: docs/specs/ownership.md §7.

Every linked device tells how far it knows the sessions; when all have been heard, and what they know is durable here,
nothing that anybody knows is forgotten any more. What was heard since the agent started counts, also from before the
rollback was noticed: a home is not exchanged under a running agent, so all of it was heard by the old copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from p2p_handoff.agent.events import Events
from p2p_handoff.agent.retry import delays
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId, Entropy
from p2p_handoff.session import home
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)

SEEK_AT_MOST_EVERY: Final = 30.0
"""Seconds between attempts to reach awaited devices, at the most: any of them may dial as well."""


class Confirmation:
    """Keeps an old copy out of handoffs until it has caught up.

    Args:
        store: Its counter knows whether the home was rolled back.
        events: Told ``rolled-back`` and ``home-confirmed``; ``unlinked`` is heard.
        connect: Reaches a linked device.
        entropy: For the pauses between attempts.
    """

    def __init__(
        self, store: Store, events: Events, connect: Callable[[DeviceId], Awaitable[object]], entropy: Entropy
    ) -> None:
        self._store = store
        self._events = events
        self._connect = connect
        self._entropy = entropy
        self._heard: set[DeviceId] = set()
        self._seeking: asyncio.Task[None] | None = None
        self._cancel = events.subscribe(self._event)

    @property
    def rolled_back(self) -> bool:
        """Whether this home is an old copy that is not confirmed yet."""
        return self._store.counter.rolled_back

    def awaited(self) -> tuple[LinkedDevice, ...]:
        """The linked devices that have still to be heard; none in a home that is not rolled back."""
        links = {link.device: link for link in self._store.links.all()}
        return tuple(links[device] for device in home.awaited(self._store.counter.mark, links, self._heard))

    def heard(self, device: DeviceId) -> None:
        """A device has told all that it knows, and it is durable here."""
        self._heard.add(device)
        self.look()

    def look(self) -> None:
        """See whether the home was rolled back, and whether it may take part again."""
        if not self.rolled_back:
            return
        if self._seeking is None:
            log.warning("this device's home is an old copy")
            self._events.emit("rolled-back", awaited=[link.name for link in self.awaited()])
            self._seeking = asyncio.create_task(self._seek(), name="seek awaited devices")
        if not self.awaited():
            self._confirm()

    async def close(self) -> None:
        """Wait for nobody any more."""
        self._cancel()
        if self._seeking is not None:
            self._seeking.cancel()
            await asyncio.gather(self._seeking, return_exceptions=True)

    def _confirm(self) -> None:
        try:
            self._store.counter.confirm()
        except HandoffError as error:
            log.error("the home could not be confirmed: %s", error)
            return
        log.info("this device's home is confirmed by all linked devices")
        self._events.emit("home-confirmed")
        if self._seeking is not None:
            self._seeking.cancel()
            self._seeking = None

    async def _seek(self) -> None:
        for delay in delays(self._entropy, limit=SEEK_AT_MOST_EVERY):
            for link in self.awaited():
                with contextlib.suppress(HandoffError):
                    await self._connect(link.device)
            await asyncio.sleep(delay)

    def _event(self, name: str, _fields: Mapping[str, Any]) -> None:
        if name == "unlinked":
            self.look()
