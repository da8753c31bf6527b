# SPDX-License-Identifier: Apache-2.0
"""Says by multicast DNS what this device announces, under the name it has now. Layer: I/O ring, zeroconf.

Specification: docs/specs/discovery.md §2, §6.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from p2p_handoff.discovery.addresses import Interface, advertised
from p2p_handoff.discovery.announcement import SERVICE_TYPE, Announcement
from p2p_handoff.discovery.appearance import Appearance
from p2p_handoff.discovery.veil import Acquaintances

log = logging.getLogger(__name__)

RECORD_TTL: Final = 120
"""Seconds a record lives: a host's records in RFC 6762 §10. A device that vanished is noticed within about this."""
ECHO_DEADLINE: Final = 3.0
"""Seconds within which a device must hear its own announcement, else multicast is blocked."""


class Publisher:
    """One device's announcement. All methods run on one event loop.

    Args:
        appearance: Under which name it is made.
    """

    def __init__(self, appearance: Appearance) -> None:
        self.appearance = appearance
        self._service: AsyncServiceInfo | None = None
        self._broadcasts: dict[str, asyncio.Future[None]] = {}
        self._announced_at: float | None = None
        self._heard_self = False

    async def publish(
        self,
        zeroconf: AsyncZeroconf,
        announcement: Announcement | None,
        known: Acquaintances,
        interfaces: Sequence[Interface],
    ) -> None:
        """Say this from now on.

        Args:
            zeroconf: Sends it.
            announcement: What to say; None to say nothing any more.
            known: Who shall recognise this device.
            interfaces: Their addresses are advertised.
        """
        before = self._service
        after = None if announcement is None else self._info(announcement, known, interfaces)
        self._service = after
        if after is None:
            self._announced_at = None
        else:
            await self._say(zeroconf, before, after)
        if before is not None and (after is None or after.name != before.name):
            # After the new name: who knows both sees no gap.
            self._follow(before.name, await zeroconf.async_unregister_service(before))

    def forget(self) -> None:
        """Nothing is announced any more, without a word."""
        self._service = None

    def is_due(self) -> bool:
        """Whether the time of the present name is over."""
        return self.appearance.is_due(_now())

    def is_echo(self, label: str) -> bool:
        """Whether a name that was heard is this device's own: then its announcements are heard."""
        own = self.appearance.is_own(label)
        self._heard_self = self._heard_self or own
        return own

    @property
    def unheard(self) -> bool:
        """Whether this device does not hear its own announcement, although it should have."""
        if self._heard_self or self._announced_at is None:
            return False
        return _now() - self._announced_at > ECHO_DEADLINE

    async def said_goodbye(self) -> None:
        """Wait until nothing is sent any more under a name that is no longer this device's."""
        current = self._service.name if self._service is not None else None
        goodbyes = [sending for name, sending in self._broadcasts.items() if name != current]
        if goodbyes:
            await asyncio.wait(goodbyes)

    def sending(self) -> tuple[asyncio.Future[None], ...]:
        """Announcements that are under way."""
        return tuple(self._broadcasts.values())

    async def _say(self, zeroconf: AsyncZeroconf, before: AsyncServiceInfo | None, after: AsyncServiceInfo) -> None:
        if self._announced_at is None or before is None:
            self._announced_at = _now()
        if before is not None and before.name == after.name:
            self._follow(after.name, await zeroconf.async_update_service(after))
            return
        # The name holds the device id or is random, so nobody else has a claim to it: probing for a conflict would
        # only let anyone on the network keep this device out.
        self._follow(after.name, await zeroconf.async_register_service(after, cooperating_responders=True))

    def _info(
        self, announcement: Announcement, known: Acquaintances, interfaces: Sequence[Interface]
    ) -> AsyncServiceInfo:
        said = self.appearance.advertisement(announcement, known, _now())
        return AsyncServiceInfo(
            SERVICE_TYPE,
            f"{said.label}.{SERVICE_TYPE}",
            port=said.port,
            properties=dict(said.txt),
            server=said.server,
            parsed_addresses=list(advertised(interfaces)),
            host_ttl=RECORD_TTL,
            other_ttl=RECORD_TTL,
        )

    def _follow(self, name: str, sending: Awaitable[None]) -> None:
        """Follow a series of announcements; an older series would still tell the old story after the new one."""
        if (older := self._broadcasts.pop(name, None)) is not None:
            older.cancel()
        future = self._broadcasts[name] = asyncio.ensure_future(sending)
        future.add_done_callback(lambda done: self._sent(name, done))

    def _sent(self, name: str, done: asyncio.Future[None]) -> None:
        if self._broadcasts.get(name) is done:
            del self._broadcasts[name]
        if not done.cancelled() and (error := done.exception()):
            log.warning("an announcement could not be sent: %s", error)


def _now() -> float:
    return asyncio.get_running_loop().time()
