# SPDX-License-Identifier: Apache-2.0
"""What is said and noted when a wire opens, who hears what arrives, and when an idle one is hung up. Layer: agent.

Specification: docs/specs/handoff-v2.md §2 (Hello).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from importlib.metadata import version

from p2p_handoff.agent.circle import CIRCLE_MESSAGES, Circle
from p2p_handoff.agent.confirming import Confirmation
from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.handoffs import Handoffs
from p2p_handoff.agent.news import NEWS_MESSAGES, NewsDesk
from p2p_handoff.agent.old_copies import OldCopies
from p2p_handoff.agent.peers import PeerBook
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, UnreachableError
from p2p_handoff.limits import IDLE_CONNECTION
from p2p_handoff.protocol.messages import Accepted, Grant, Hello, Message, News, Refused
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.session.freshness import Freshness
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)


def hello(store: Store, name: str, versions: tuple[int, ...], seen: int, instance: bytes) -> Hello:
    """What this device says of itself to a peer.

    Args:
        store: Knows the counter of this device.
        name: This device's display name.
        versions: Protocol versions spoken.
        seen: The highest counter that the peer ever showed.
        instance: Drawn at this start of the agent.
    """
    return Hello(
        versions=versions,
        name=name,
        software=f"p2p-handoff {version('p2p-handoff')}",
        capabilities=(),
        counter=store.counter.value,
        seen=seen,
        instance=instance,
    )


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who gets what arrives."""

    peer_book: PeerBook
    handoffs: Handoffs
    news: NewsDesk
    circle: Circle
    old_copies: OldCopies
    confirmation: Confirmation


class Contacts:
    """Welcomes every wire of one agent, and passes on what arrives on it.

    Args:
        store: Knows what peers saw of this home.
        events: Told of devices ``connected``.
        hearers: Who gets what.
    """

    def __init__(self, store: Store, events: Events, hearers: Hearers) -> None:
        self._store = store
        self._events = events
        self._to = hearers

    def opened(self, wire: Wire) -> None:
        """A wire's handshake is complete."""
        name = self._to.peer_book.name(wire.peer)
        if wire.hello is not None:
            try:
                self._note_counters(wire, wire.hello)
            except HandoffError as error:
                # Ownership is guarded where it is stored; a wire without a listener would be worse than a lost note.
                log.error("the contact with %s could not be noted: %s", name, error)
        self._events.emit("connected", device=wire.peer, name=name, engine=wire.engine_name)
        self._to.news.opened(wire)
        self._to.circle.opened(wire)
        wire.listen(self)

    def message_received(self, wire: Wire, message: Message) -> None:
        """One message: of the news, or of a handoff.

        Raises:
            UnreachableError: It says less than another connection showed meanwhile: only a new one can tell why.
        """
        if isinstance(message, Grant | Accepted | Refused | News):
            self._note_counter(wire, message.counter)
        if isinstance(message, NEWS_MESSAGES):
            self._to.news.received(wire, message)
        elif isinstance(message, CIRCLE_MESSAGES):
            self._to.circle.received(wire, message)
        else:
            self._to.handoffs.message_received(wire, message)

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        """One object of a handoff."""
        self._to.handoffs.object_received(wire, record)

    def wire_closed(self, wire: Wire, error: HandoffError) -> None:
        """A wire is over."""
        self._to.old_copies.closed(wire)
        self._to.news.closed(wire)
        self._to.circle.closed(wire)
        self._to.handoffs.wire_closed(wire, error)

    def _note_counters(self, wire: Wire, said: Hello) -> None:
        self._to.old_copies.greeted(wire, said.counter)
        if self._to.old_copies.is_old(wire.peer):
            self._to.handoffs.rolled_back(wire.peer)
        self._store.counter.witness(said.seen)
        self._to.confirmation.look()

    def _note_counter(self, wire: Wire, counter: int) -> None:
        freshness = self._to.old_copies.shown(wire, counter)
        if freshness is Freshness.UNCLEAR:
            raise UnreachableError("another connection to the same device showed a later state")
        if freshness is Freshness.ROLLED_BACK:
            self._to.handoffs.rolled_back(wire.peer)


async def hang_up_idle(dialer: Dialer, handoffs: Handoffs) -> None:
    """Close wires that nobody used for a while, until cancelled: a wire costs two pings a second."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(IDLE_CONNECTION / 4)
        if handoffs.needs_wires:
            continue
        for wire in dialer.wires():
            if loop.time() - wire.last_used > IDLE_CONNECTION:
                await wire.close("idle")
