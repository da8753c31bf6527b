# SPDX-License-Identifier: Apache-2.0
"""What is said and noted when a wire opens, and when an idle one is hung up. Layer: agent.

Specification: docs/specs/handoff-v2.md §2 (Hello).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib.metadata import version

from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.handoffs import Handoffs
from p2p_handoff.agent.peers import PeerBook
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import IDLE_CONNECTION
from p2p_handoff.protocol.messages import Hello
from p2p_handoff.store.links import Freshness
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)


def hello(store: Store, name: str, versions: tuple[int, ...], peer: DeviceId) -> Hello:
    """What this device says of itself to a peer.

    Args:
        store: Knows the counters of this device and of the peer.
        name: This device's display name.
        versions: Protocol versions spoken.
        peer: Whom it is said to.
    """
    link = store.links.get(peer)
    return Hello(
        versions=versions,
        name=name,
        software=f"p2p-handoff {version('p2p-handoff')}",
        capabilities=(),
        counter=store.counter.value,
        seen=link.highest_counter if link else 0,
    )


class Contacts:
    """Welcomes every wire of one agent.

    Args:
        handoffs: Listens to every wire.
        clock: Unix seconds.
    """

    def __init__(
        self, store: Store, events: Events, peer_book: PeerBook, handoffs: Handoffs, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._events = events
        self._peer_book = peer_book
        self._handoffs = handoffs
        self._clock = clock

    def opened(self, wire: Wire) -> None:
        """A wire's handshake is complete."""
        name = self._peer_book.name(wire.peer)
        if wire.hello is not None:
            try:
                self._note_counters(wire.peer, wire.hello)
            except HandoffError as error:
                # Ownership is guarded where it is stored; a wire without a listener would be worse than a lost note.
                log.error("the contact with %s could not be noted: %s", name, error)
        self._events.emit("connected", device=wire.peer, name=name, engine=wire.engine_name)
        wire.listen(self._handoffs)

    def _note_counters(self, peer: DeviceId, said: Hello) -> None:
        freshness = self._store.links.seen(peer, at=self._clock(), counter=said.counter)
        if freshness is Freshness.ROLLED_BACK:
            log.warning("the home of %s is an old copy", self._peer_book.name(peer))
        if self._store.counter.witness(said.seen):
            log.warning("this device's home is an old copy: a peer saw a later state")


async def hang_up_idle(dialer: Dialer, handoffs: Handoffs) -> None:
    """Close wires that nobody used for a while, until cancelled: a wire costs two pings a second."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(IDLE_CONNECTION / 4)
        if handoffs.active():
            continue
        for wire in dialer.wires():
            if loop.time() - wire.last_used > IDLE_CONNECTION:
                await wire.close("idle")
