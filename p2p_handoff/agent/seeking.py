# SPDX-License-Identifier: Apache-2.0
"""Looking for a device that a frozen session waits for, until it is found. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. A handoff in doubt is resolved at most 2 seconds after the devices can
reach each other: an attempt is given up URGENT_PATIENCE after it began and the next one begins at most URGENT_DELAY
later; a sighting, a relay that is back and a wire that the other side opened end the wait at once. However many
sessions wait for a device, it is dialled by one schedule.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Search:
    task: asyncio.Task[Wire]
    waiting: int = 0


class Seeker:
    """The searches of one agent.

    Args:
        connect: Makes one attempt to reach a device within so many seconds, or returns the open wire.
        sighted: Waits until something is heard of a device, at most that many seconds.
        entropy: For the pauses.
    """

    def __init__(
        self,
        connect: Callable[[DeviceId, float], Awaitable[Wire]],
        sighted: Callable[[DeviceId, float], Awaitable[None]],
        entropy: Entropy,
    ) -> None:
        self._connect = connect
        self._sighted = sighted
        self._entropy = entropy
        self._searches: dict[DeviceId, _Search] = {}

    async def reach(self, device: DeviceId) -> Wire:
        """An open wire to a device, however long that takes; cancel it to give up."""
        search = self._searches.get(device)
        if search is None:
            task = asyncio.create_task(self._seek(device), name=f"seek {device[:6]}")
            search = self._searches[device] = _Search(task)
        search.waiting += 1
        try:
            return await asyncio.shield(search.task)
        finally:
            search.waiting -= 1
            if not search.waiting and self._searches.get(device) is search:
                del self._searches[device]
                search.task.cancel()

    async def _seek(self, device: DeviceId) -> Wire:
        for delay in delays(self._entropy, limit=URGENT_DELAY):
            try:
                return await self._connect(device, URGENT_PATIENCE)
            except HandoffError as error:
                log.debug("%s is not reached yet: %s", device[:6], error)
            except Exception:
                log.exception("dialling %s failed in a way that nobody foresaw", device[:6])
            await self._sighted(device, delay)
        raise AssertionError
