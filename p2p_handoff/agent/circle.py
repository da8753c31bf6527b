# SPDX-License-Identifier: Apache-2.0
"""Own devices form a circle: statements are made, exchanged, judged, and acted upon. Layer: agent.

Specification: docs/specs/circle.md §4-6. What a set of statements means is decided in security.circle. Here the links
are made to agree with it: at every start, at every act of the person, and whenever another own device has news.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from p2p_handoff.agent.names import linked_name
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, RemoteProtocolError, UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import MAX_CIRCLE_BATCH
from p2p_handoff.protocol import messages as msg
from p2p_handoff.rendezvous.address import parse_relay_url
from p2p_handoff.security import circle
from p2p_handoff.security.circle import Book, Judgement, Member
from p2p_handoff.security.circle_acts import admit, next_number, revoke
from p2p_handoff.security.circle_statements import SignedCircleStatement
from p2p_handoff.security.link_terms import LinkKind, LinkOutcome
from p2p_handoff.store.records import EndedBy, FormerLink, LinkedDevice

log = logging.getLogger(__name__)

CircleMessage = msg.CircleList | msg.CircleNews
CIRCLE_MESSAGES = (msg.CircleList, msg.CircleNews)

_HINTS: Final = 2
"""Addresses that are passed on of each device."""


@dataclass(frozen=True, slots=True)
class CircleReach:
    """What the circle needs of the agent besides its services.

    Args:
        wires: The open wires.
        part: Ends what goes on with a device that is linked no longer.
    """

    wires: Callable[[], Sequence[Wire]]
    part: Callable[[DeviceId], Coroutine[Any, Any, None]]


class Circle:
    """The circle as one device knows it. ``settle`` next, once events are listened to.

    Args:
        services: The agent's parts.
        reach: Wires, and how they are hung up.
    """

    def __init__(self, services: Services, reach: CircleReach) -> None:
        self._services = services
        self._reach = reach
        self._me = services.identity.device
        self._book = circle.new_entries(Book(services.identity.public), services.store.circle.all())
        self._judged = circle.judge(self._book)
        self._greeted: set[Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def judged(self) -> Judgement:
        """Who belongs to the circle as things stand."""
        return self._judged

    def ended(self, device: DeviceId) -> int:
        """How many admissions of a device, or of this one, have ended as far as is known here."""
        return self._judged.number_of(device)

    async def close(self) -> None:
        """Tell nobody any more."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what a person does ---------------------------------------------------------------------------

    def linked(self, outcome: LinkOutcome, name: str) -> int:
        """A person linked an own device by code: the others hear of it; returns the number of its admission."""
        number = next_number(outcome.ended)
        self._take(admit(self._services.identity, outcome.peer, name, number))
        return number

    def unlink(self, device: DeviceId, *, disowns: bool) -> None:
        """A person trusts an own device no longer: the others hear of it, and so does the device.

        Args:
            device: One that is, or was, an own device.
            disowns: Nothing that it ever said shall count here.
        """
        self._take(revoke(self._services.identity, self._book, self._judged, device, disowns=disowns))

    def spread(self) -> None:
        """Look for all own devices that are not connected, once: they shall hear now what this one has to tell."""
        self._spawn(self._look_for_all())

    # --- on the wires -----------------------------------------------------------------------------------

    def opened(self, wire: Wire) -> None:
        """A wire's handshake is complete: say what is known here, if it leads to an own device."""
        if wire not in self._greeted and self._is_own(wire.peer):
            self._greeted.add(wire)
            digests = tuple(signed.digest for signed in self._book.statements())
            _send(wire, msg.CircleList(digests))

    def closed(self, wire: Wire) -> None:
        """A wire is over."""
        self._greeted.discard(wire)

    def received(self, wire: Wire, message: CircleMessage) -> None:
        """A message of ours arrived; of somebody else's device it means nothing."""
        if not self._is_own(wire.peer):
            log.warning("%s speaks of own devices, and is none", self._services.peer_name(wire.peer))
            return
        match message:
            case msg.CircleList(digests):
                known = set(digests)
                self._tell(wire, [signed for signed in self._book.statements() if signed.digest not in known])
            case msg.CircleNews(statements, hints):
                self._hear(wire, statements)
                self._note(hints)

    def _hear(self, wire: Wire, statements: Iterable[bytes]) -> None:
        offered = []
        for data in statements:
            try:
                offered.append(SignedCircleStatement.from_bytes(data))
            except RemoteProtocolError as error:
                self._refused(wire, error.what)
        for reason in self._take(offered):
            self._refused(wire, reason)

    def _refused(self, wire: Wire, reason: str) -> None:
        log.warning("a statement that %s passed on was refused: %s", self._services.peer_name(wire.peer), reason)

    def _tell(self, wire: Wire, statements: Sequence[SignedCircleStatement]) -> None:
        hints = self._hints(wire.peer)
        for start in range(0, len(statements), MAX_CIRCLE_BATCH):
            batch = tuple(signed.to_bytes() for signed in statements[start : start + MAX_CIRCLE_BATCH])
            _send(wire, msg.CircleNews(batch, hints))

    def _hints(self, peer: DeviceId) -> tuple[msg.Hint, ...]:
        recent = self._services.store.addresses.recent
        own = [link.device for link in self._own_links() if link.device != peer]
        hints = [msg.Hint(device, url) for device in own for url in recent(device)[:_HINTS]]
        return tuple(hints[:MAX_CIRCLE_BATCH])

    def _note(self, hints: Iterable[msg.Hint]) -> None:
        """Addresses are worth no more than a try, and never more than those that led to the device."""
        for hint in hints:
            store = self._services.store
            if self._is_own(hint.device) and hint.url not in store.addresses.recent(hint.device):
                with contextlib.suppress(UsageError):
                    parse_relay_url(hint.url)
                    store.addresses.remember(hint.device, hint.url, at=0.0)

    async def _look_for_all(self) -> None:
        for link in self._own_links():
            with contextlib.suppress(HandoffError):
                await self._services.connect(link.device)

    # --- what follows ---------------------------------------------------------------------------------

    def _take(self, offered: Sequence[SignedCircleStatement]) -> tuple[str, ...]:
        taken = circle.take(self._book, offered)
        if taken.fresh:
            self._book = circle.relevant(taken.book)
            self._services.store.circle.replace(self._book.statements())
            self._judged = circle.judge(self._book)
            for wire in self._reach.wires():
                if self._is_own(wire.peer):
                    self._tell(wire, taken.fresh)
            self.settle()
        return taken.refused

    def settle(self) -> None:
        """Make the links agree with the judgement; what agrees already stays as it is."""
        for link in self._own_links():
            if self._is_over(link):
                self._part(link)
        links = {link.device: link for link in self._services.store.links.all()}
        for device, member in self._judged.members.items():
            known = links.get(device)
            if known is None:
                self._welcome(device, member)
            elif known.kind is LinkKind.OWN:
                self._update(known, member)
        for wire in self._reach.wires():
            self.opened(wire)

    def _is_over(self, link: LinkedDevice) -> bool:
        """Links of a time before there were statements end by a revocation only."""
        if link.device in self._judged.members:
            return False
        return bool(link.admission or self._judged.expelled or link.device in self._judged.revoked)

    def _welcome(self, device: DeviceId, member: Member) -> None:
        store = self._services.store
        if not _may_return(store.links.former(device), member):
            return
        name = linked_name(store, self._services.settings.name, device, member.name)
        now = self._services.clock()
        public, by = member.identity.to_bytes(), self._introducer(member)
        link = LinkedDevice(device, public, name, LinkKind.OWN, now, introduced_by=by, admission=member.number)
        store.links.readmit(link)
        if by is not None:
            who = self._services.peer_name(by)
            text = f"{who} introduced {name} as your own device; if that was not you: handoff unlink {name!r}"
            log.warning("%s", text)
            self._services.events.emit("introduced", device=device, name=name, by=by, by_name=who, text=text)

    def _update(self, link: LinkedDevice, member: Member) -> None:
        by = self._introducer(member)
        if (link.introduced_by, link.admission) != (by, member.number):
            self._services.store.links.add(replace(link, introduced_by=by, admission=member.number))

    def _part(self, link: LinkedDevice) -> None:
        revocation = self._judged.expelled or self._judged.revoked.get(link.device)
        mine = revocation is not None and revocation.signer == self._me
        by = EndedBy.PERSON if mine else EndedBy.CIRCLE
        text = self._why_parted(link)
        self._services.store.links.remove(link.device, at=self._services.clock(), by=by)
        self._spawn(self._reach.part(link.device))
        log.warning("%s", text)
        self._services.events.emit("unlinked", device=link.device, name=link.name, by=by.value, text=text)

    def _why_parted(self, link: LinkedDevice) -> str:
        expelled, revocation = self._judged.expelled, self._judged.revoked.get(link.device)
        if expelled is not None:
            who = self._services.peer_name(expelled.signer)
            return (
                f"{who} says that this device is not yours any more, so {link.name} is linked no more; if that was"
                f" not you, unlink {who} with --disown, or link the devices again"
            )
        if revocation is None:
            return f"{link.name} is linked no more, since nobody who is trusted here vouches for it"
        if revocation.signer == self._me:
            return f"{link.name} is linked no more"
        return f"{self._services.peer_name(revocation.signer)} unlinked {link.name}, so it is linked no more here"

    def _introducer(self, member: Member) -> DeviceId | None:
        return None if member.by == self._me else member.by

    def _own_links(self) -> list[LinkedDevice]:
        return [link for link in self._services.store.links.all() if link.kind is LinkKind.OWN]

    def _is_own(self, device: DeviceId) -> bool:
        link = self._services.store.links.get(device)
        return link is not None and link.kind is LinkKind.OWN

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="circle")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _may_return(former: FormerLink | None, member: Member) -> bool:
    """Whether the circle may bring a device back: one that a person here unlinked, never without a new admission."""
    if former is None or former.ended_by is EndedBy.CIRCLE:
        return True
    return former.link.kind is LinkKind.OWN and member.number > former.link.admission


def _send(wire: Wire, message: msg.Message) -> None:
    with contextlib.suppress(HandoffError):
        wire.send(message)
