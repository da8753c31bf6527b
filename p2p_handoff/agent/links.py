# SPDX-License-Identifier: Apache-2.0
"""Links of one agent: made by a code, remembered, taken back. Layer: agent. Specification: docs/specs/link.md §6."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from p2p_handoff.agent import linking
from p2p_handoff.agent.circle import Circle
from p2p_handoff.agent.link_desk import LinkDesk
from p2p_handoff.agent.names import linked_name
from p2p_handoff.agent.services import Services
from p2p_handoff.errors import LinkCodeError, UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import BURNT_CODES_WITHIN, MAX_BURNT_CODES
from p2p_handoff.security.link_terms import LinkKind, LinkOutcome, Purpose
from p2p_handoff.security.words import LinkCode
from p2p_handoff.store.records import EndedBy, LinkedDevice


class Links:
    """Makes and ends links.

    Args:
        services: The agent's parts.
        desk: What an exchange works with.
        circle: Hears of own devices.
        part: Ends what goes on with a device that is unlinked.
    """

    def __init__(
        self,
        services: Services,
        desk: LinkDesk,
        circle: Circle,
        part: Callable[[DeviceId], Awaitable[None]],
    ) -> None:
        self._services = services
        self._store = services.store
        self._events = services.events
        self._clock = services.clock
        self._desk = desk
        self._circle = circle
        self._part = part
        self._open = asyncio.Lock()
        self._tries = Tries()
        self._under_way = 0
        self._ending: set[asyncio.Future[None]] = set()

    @property
    def is_linking(self) -> bool:
        """Whether a code is open or in use."""
        return self._under_way > 0

    async def join(self, code: str, decide: linking.Decide, purpose: Purpose) -> LinkOutcome:
        """Link with the device that shows a code.

        Raises:
            LinkCodeError, NotFoundError, RejectedError, UnreachableError: As ``linking.join_code``.
        """
        parsed = LinkCode.parse(code)
        with self._linking():
            outcome = await linking.join_code(self._desk, purpose, parsed, decide)
            self._remember(outcome, purpose)
        return outcome

    async def open(
        self, on_code: Callable[[str], Awaitable[None]] | None, decide: linking.Decide, purpose: Purpose
    ) -> LinkOutcome:
        """Make a code, and link with whoever knows it.

        Raises:
            UsageError: A code is open already.
            LinkCodeError: Also when so many codes were burnt lately that somebody must be trying.
            RejectedError, UnreachableError: As ``linking.open_code``.
        """
        if self._open.locked():
            raise UsageError("a link code is open already on this device", advice="use it, or cancel it first")
        async with self._open:
            self._tries.check(self._desk.clock())
            with self._linking(), self._counted():
                outcome = await linking.open_code(self._desk, purpose, lambda fresh: _shown(on_code, fresh), decide)
                self._remember(outcome, purpose)
        return outcome

    async def remove(self, link: LinkedDevice, *, disowns: bool = False) -> None:
        """Trust a device no longer: at once, on open connections too. Own devices tell each other.

        Args:
            link: A device that is linked, or an own one that was.
            disowns: Nothing that it ever said about own devices shall count here.
        """
        if link.kind is LinkKind.OWN:
            self._circle.unlink(link.device, disowns=disowns)
            self._circle.spread()
            await self._part(link.device)
            return
        self._store.links.remove(link.device, at=self._clock())
        await self._part(link.device)
        text = f"{link.name} is linked no more"
        self._events.emit("unlinked", device=link.device, name=link.name, by=EndedBy.PERSON.value, text=text)

    def dropped(self, device: DeviceId) -> None:
        """A linked device says that it trusts this one no longer: neither does this one, and it dials no more."""
        link = self._store.links.get(device)
        if link is None:
            return
        self._store.links.remove(device, at=self._clock(), by=EndedBy.PEER)
        ending = asyncio.ensure_future(self._part(device))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        text = f"{link.name} does not trust this device any more, so it is linked no more here; link them again by code"
        self._events.emit("unlinked", device=device, name=link.name, by=EndedBy.PEER.value, text=text)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except LinkCodeError:
            self._tries.burnt(self._desk.clock())
            raise

    @contextlib.contextmanager
    def _linking(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def _remember(self, outcome: LinkOutcome, purpose: Purpose) -> None:
        now = self._clock()
        device = outcome.peer.device
        if purpose is Purpose.COPY and self._store.links.get(device) is not None:
            return  # A copy for once changes nothing between devices that are linked.
        name = linked_name(self._store, self._services.settings.name, device, outcome.peer_name)
        link = LinkedDevice(device, outcome.peer.to_bytes(), name, outcome.kind, now, now)
        self._store.links.readmit(link)
        if outcome.kind is LinkKind.OWN and purpose is Purpose.LINK:
            self._circle.linked(outcome, name)
            self._circle.spread()
        self._events.emit("linked", device=device, name=name, kind=outcome.kind.value)


class Tries:
    """How many codes of this device were burnt lately: each was one guess of whoever used it."""

    def __init__(self) -> None:
        self._burnt: deque[float] = deque(maxlen=MAX_BURNT_CODES)

    def burnt(self, now: float) -> None:
        """A code was burnt.

        Args:
            now: Monotonic seconds.
        """
        self._burnt.append(now)

    def check(self, now: float) -> None:
        """Whether another code may be made now.

        Raises:
            LinkCodeError: MAX_BURNT_CODES were burnt within BURNT_CODES_WITHIN.
        """
        if len(self._burnt) == MAX_BURNT_CODES and now < (free := self._burnt[0] + BURNT_CODES_WITHIN):
            raise LinkCodeError(
                f"{MAX_BURNT_CODES} codes were burnt in a short time: somebody may be trying to get in",
                advice=f"wait {math.ceil((free - now) / 60)} minutes, or link on another network",
            )


async def _shown(on_code: Callable[[str], Awaitable[None]] | None, code: LinkCode) -> None:
    if on_code is not None:
        await on_code(code.text)
