# SPDX-License-Identifier: Apache-2.0
"""Looking for a device that a frozen session waits for, until it is found. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. A handoff in doubt is resolved at most 2 seconds after the devices can
reach each other: an attempt is given up URGENT_PATIENCE after it began and the next one begins at most URGENT_DELAY
later; a sighting, a relay that is back and a wire that the other side opened end the wait at once. Where nobody waits
any more, since the work goes on in a fork, attempts become rare. However many sessions wait for a device, it is dialled
by one schedule, that of the most urgent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId, Entropy

log = logging.getLogger(__name__)

URGENT_DELAY: Final = 0.9
"""Seconds between two attempts at the most: as often as an open wire pings, which is what a doubt may cost."""
URGENT_PATIENCE: Final = 1.5
"""Seconds until an attempt must have reached a relay. TCP asks a second time after 1 s, so that at most half a second
of an attempt is deaf to a network that comes back; four round trips of 300 ms still fit."""


CALM_DELAY: Final = 300.0
"""Seconds between two attempts at the most where the work goes on in a fork: its user has given the device up, so that
it is mostly gone; one that comes back is seen, or dials by itself."""
_CALM_FIRST: Final = 1.0

IsUrgent = Callable[[], bool]


@dataclass(slots=True)
class _Search:
    waiting: list[IsUrgent] = field(default_factory=list)
    """Who waits, and whether that is urgent now."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the pause."""
    asked: bool = False
    """A person wants to know: the pauses begin anew."""
    task: asyncio.Task[Wire] | None = None

    @property
    def is_urgent(self) -> bool:
        return any(urgent() for urgent in self.waiting)


def always() -> bool:
    """For who waits urgently all the time."""
    return True


class Seeker:
    """The searches of one agent.

    Args:
        connect: Makes one attempt to reach a device, or returns the open wire; with so many seconds to reach a relay,
            or in its own time where that is None.
        sighted: Waits until something is heard of a device, at most that many seconds.
        entropy: For the pauses.
    """

    def __init__(
        self,
        connect: Callable[[DeviceId, float | None], Awaitable[Wire]],
        sighted: Callable[[DeviceId, float], Awaitable[None]],
        entropy: Entropy,
    ) -> None:
        self._connect = connect
        self._sighted = sighted
        self._entropy = entropy
        self._searches: dict[DeviceId, _Search] = {}

    async def reach(self, device: DeviceId, is_urgent: IsUrgent = always) -> Wire:
        """An open wire to a device, however long that takes; cancel it to give up.

        Args:
            device: Whom to find.
            is_urgent: Whether a doubt depends on it; asked before each attempt.
        """
        search = self._searches.get(device)
        if search is None:
            search = self._searches[device] = _Search()
        search.waiting.append(is_urgent)
        if search.task is None:
            search.task = asyncio.create_task(self._seek(device, search), name=f"seek {device[:6]}")
        elif is_urgent():
            search.wake.set()
        try:
            return await asyncio.shield(search.task)
        finally:
            search.waiting.remove(is_urgent)
            if not search.waiting and self._searches.get(device) is search:
                del self._searches[device]
                search.task.cancel()

    def hurry(self) -> None:
        """A person wants to know now: whoever is sought is tried at once, and the pauses begin anew."""
        for search in self._searches.values():
            search.asked = True
            search.wake.set()

    async def _seek(self, device: DeviceId, search: _Search) -> Wire:
        urgent, calm = delays(self._entropy, limit=URGENT_DELAY), self._calm()
        while True:
            is_urgent = search.is_urgent
            search.wake.clear()
            try:
                return await self._connect(device, URGENT_PATIENCE if is_urgent else None)
            except HandoffError as error:
                log.debug("%s is not reached yet: %s", device[:6], error)
            except Exception:
                log.exception("dialling %s failed in a way that nobody foresaw", device[:6])
            if is_urgent or search.asked:
                calm, search.asked = self._calm(), False
            await self._pause(device, search, next(urgent if is_urgent else calm))

    def _calm(self) -> Iterator[float]:
        return delays(self._entropy, first=_CALM_FIRST, limit=CALM_DELAY)

    async def _pause(self, device: DeviceId, search: _Search, seconds: float) -> None:
        waits = (
            asyncio.ensure_future(self._sighted(device, seconds)),
            asyncio.ensure_future(search.wake.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
