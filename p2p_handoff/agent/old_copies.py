# SPDX-License-Identifier: Apache-2.0
"""What the counters that peers show say of their homes. Layer: agent. Specification: docs/specs/ownership.md §7.

A peer that shows less than it showed before is an old copy of its home: nothing is handed to it or taken from it
until it shows more again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from p2p_handoff.agent.events import Events
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId
from p2p_handoff.store.links import Freshness
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)


class OldCopies:
    """Which peers' homes are old copies, as far as this agent has heard since it started.

    Args:
        store: Keeps the highest counter of each peer.
        events: Told ``peer-rolled-back`` and ``peer-confirmed``.
        peer_name: Display name of a device.
        clock: Unix seconds.
    """

    def __init__(
        self, store: Store, events: Events, peer_name: Callable[[DeviceId], str], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._events = events
        self._peer_name = peer_name
        self._clock = clock
        self._old: set[DeviceId] = set()
        self._turn = asyncio.Lock()
        self._noting: set[asyncio.Task[None]] = set()

    def is_old(self, peer: DeviceId) -> bool:
        """Whether the peer's home is an old copy."""
        return peer in self._old

    def greeted(self, peer: DeviceId, counter: int) -> None:
        """A peer said Hello.

        Raises:
            HandoffError: It cannot be noted.
        """
        self._apply(peer, self._store.links.seen(peer, at=self._clock(), counter=counter))

    def shown(self, peer: DeviceId, counter: int) -> None:
        """A peer showed its counter in a later message; noted beside the handoff that the message belongs to."""
        task = asyncio.create_task(self._note(peer, counter), name=f"counter of {peer[:6]}")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        """Finish what is being noted."""
        await asyncio.gather(*self._noting, return_exceptions=True)

    async def _note(self, peer: DeviceId, counter: int) -> None:
        try:
            async with self._turn:  # In the order of the messages: a counter that is overtaken would look like a fall.
                freshness = await asyncio.to_thread(self._store.links.seen, peer, at=self._clock(), counter=counter)
        except HandoffError as error:
            log.warning("the counter of %s was not noted: %s", self._peer_name(peer), error)
        else:
            self._apply(peer, freshness)

    def _apply(self, peer: DeviceId, freshness: Freshness) -> None:
        was_old = peer in self._old
        name = self._peer_name(peer)
        if freshness is Freshness.ROLLED_BACK and not was_old:
            self._old.add(peer)
            log.warning("the home of %s is an old copy", name)
            self._events.emit("peer-rolled-back", device=peer, name=name)
        elif freshness is Freshness.CURRENT and was_old:
            self._old.discard(peer)
            self._events.emit("peer-confirmed", device=peer, name=name)
