# SPDX-License-Identifier: Apache-2.0
"""What the counters that peers show say of their homes. Layer: agent. Specification: docs/specs/ownership.md §7.

A peer that shows less than it showed before is an old copy of its home: nothing is handed to it or taken from it
until it shows more again. The verdict is about the home at the other end of one connection, and ends with it: the
next Hello is judged anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from p2p_handoff.agent.events import Events
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId
from p2p_handoff.session.freshness import Freshness, judge
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)


class OldCopies:
    """Which peers' homes are old copies, by the connections that are open.

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
        self._highest: dict[DeviceId, int] = {}
        """As far as shown since this agent started: the store follows a moment later."""
        self._shown: dict[Wire, int] = {}
        """The highest that each open wire has shown."""
        self._old: dict[DeviceId, Wire] = {}
        """The wires by which peers were found to be old copies."""
        self._told: set[DeviceId] = set()
        """Of whom it was told that they are old copies, and not yet that they are no more."""
        self._noting: set[asyncio.Task[None]] = set()

    def is_old(self, peer: DeviceId) -> bool:
        """Whether the home at the other end of the peer's open connection is an old copy."""
        return peer in self._old

    def seen(self, peer: DeviceId) -> int:
        """The highest counter that a peer ever showed."""
        if peer not in self._highest:
            link = self._store.links.get(peer)
            if link is None:
                return 0
            self._highest[peer] = link.highest_counter
        return self._highest[peer]

    def is_clear(self, wire: Wire) -> bool:
        """Whether the Hello of a new wire can be judged; where not, only another connection can tell."""
        return wire.hello is None or self._judge(wire, wire.hello.counter) is not Freshness.UNCLEAR

    def greeted(self, wire: Wire, counter: int) -> None:
        """A peer said Hello; noted before anything else is said or heard.

        Raises:
            HandoffError: It cannot be noted.
        """
        self._apply(wire, counter)
        self._store.links.seen(wire.peer, at=self._clock(), counter=counter)

    def shown(self, wire: Wire, counter: int) -> Freshness:
        """A peer showed its counter in a later message; noted beside the handoff that the message belongs to."""
        freshness = self._apply(wire, counter)
        task = asyncio.create_task(self._note(wire.peer, counter), name=f"counter of {wire.peer[:6]}")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)
        return freshness

    def closed(self, wire: Wire) -> None:
        """A wire is over, and with it what was found by it."""
        self._shown.pop(wire, None)
        if self._old.get(wire.peer) is wire:
            del self._old[wire.peer]

    async def close(self) -> None:
        """Finish what is being noted."""
        await asyncio.gather(*self._noting, return_exceptions=True)

    async def _note(self, peer: DeviceId, counter: int) -> None:
        try:
            await asyncio.to_thread(self._store.links.seen, peer, at=self._clock(), counter=counter)
        except HandoffError as error:
            log.warning("the counter of %s was not noted: %s", self._peer_name(peer), error)

    def _judge(self, wire: Wire, counter: int) -> Freshness:
        before = max(wire.seen_before, self._shown.get(wire, 0))
        return judge(counter, highest=self.seen(wire.peer), before=before)

    def _apply(self, wire: Wire, counter: int) -> Freshness:
        freshness = self._judge(wire, counter)
        if freshness is Freshness.ROLLED_BACK:
            self._found_old(wire)
        elif freshness is Freshness.CURRENT:
            self._highest[wire.peer] = counter
            self._found_current(wire.peer)
        self._shown[wire] = max(counter, self._shown.get(wire, 0))
        return freshness

    def _found_old(self, wire: Wire) -> None:
        peer, name = wire.peer, self._peer_name(wire.peer)
        self._old[peer] = wire
        if peer not in self._told:
            self._told.add(peer)
            log.warning("the home of %s is an old copy", name)
            self._events.emit("peer-rolled-back", device=peer, name=name)

    def _found_current(self, peer: DeviceId) -> None:
        self._old.pop(peer, None)
        if peer in self._told:
            self._told.discard(peer)
            self._events.emit("peer-confirmed", device=peer, name=self._peer_name(peer))
