# SPDX-License-Identifier: Apache-2.0
"""What an agent sees around it and says of itself: discovery, sightings, addresses to dial. Layer: agent.

Specification: docs/specs/discovery.md §5, §6.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from p2p_handoff.agent.events import Events
from p2p_handoff.agent.network import Lookout, Network
from p2p_handoff.agent.peers import relay_url
from p2p_handoff.discovery.announcement import Announcement, Room, Sighting
from p2p_handoff.discovery.veil import Acquaintances
from p2p_handoff.ids import DeviceId
from p2p_handoff.settings.config import Settings

log = logging.getLogger(__name__)


class Surroundings:
    """Who is in sight of one agent.

    Args:
        settings: Whether to use mDNS, and addresses given by hand.
        network: What looks around.
        events: Told of devices ``found`` and ``lost``.
        announcement: What this device advertises with that room, None for nothing; asked again when links change.
        acquaintances: Who shall recognise this device and be recognised; asked again when links change.
        peer_name: Display name of a device.
    """

    def __init__(
        self,
        settings: Settings,
        network: Network,
        events: Events,
        announcement: Callable[[Room | None], Announcement | None],
        acquaintances: Callable[[], Acquaintances],
        peer_name: Callable[[DeviceId], str],
    ) -> None:
        self._settings = settings
        self._network = network
        self._events = events
        self._announcement = announcement
        self._acquaintances = acquaintances
        self._peer_name = peer_name
        self._room: Room | None = None
        self._discovery: Lookout | None = None
        self._refreshing: set[asyncio.Task[None]] = set()
        self._unsubscribe = events.subscribe(self._links_changed)

    async def start(self) -> None:
        """Announce this device and look for others, where the settings say so."""
        if self._settings.mdns:
            self._discovery = self._network.lookout(self._found, self._lost)
            await self._discovery.start(self._announcement(self._room), self._acquaintances())

    async def close(self) -> None:
        """Take the announcement back and look no longer."""
        self._unsubscribe()
        for task in self._refreshing:
            task.cancel()
        await asyncio.gather(*self._refreshing, return_exceptions=True)
        if self._discovery is not None:
            await self._discovery.close()

    @property
    def problem(self) -> str | None:
        """Why devices may not be found, in words."""
        return self._discovery.problem if self._discovery is not None else "mDNS is switched off"

    @property
    def manual(self) -> list[str]:
        """Relay URLs given by hand."""
        return [f"ws://{address}/v1" for address in self._settings.peers]

    def sightings(self) -> dict[DeviceId, Sighting]:
        """Devices in sight now."""
        return dict(self._discovery.sightings) if self._discovery is not None else {}

    def addresses(self, device: DeviceId) -> list[str]:
        """Relay URLs of a device as seen now, best first; of all that claim to be it, since only its keys decide."""
        claims = self._discovery.claims(device) if self._discovery is not None else ()
        return [relay_url(host, seen.port) for seen in claims for host in seen.addresses]

    def room_urls(self, nameplate: int) -> list[str]:
        """Relay URLs at which an open room with that nameplate is seen."""
        return [
            relay_url(host, seen.port)
            for seen in (self._discovery.rooms if self._discovery is not None else ())
            if seen.room is not None and seen.room[1] == nameplate
            for host in seen.addresses
        ]

    def look(self) -> None:
        """Ask everybody on the network anew what they announce; nobody is named."""
        if self._discovery is not None:
            self._discovery.look()

    async def announce_room(self, room: Room | None) -> None:
        """Tell the network about the open room, or that there is none any more."""
        self._room = room
        await self._refresh()

    async def _refresh(self) -> None:
        if self._discovery is not None:
            await self._discovery.update(self._announcement(self._room), self._acquaintances())

    def _links_changed(self, event: str, _fields: Mapping[str, Any]) -> None:
        if event in ("linked", "introduced", "unlinked", "settings") and self._discovery is not None:
            task = asyncio.create_task(self._refresh(), name="visible to others")
            self._refreshing.add(task)
            task.add_done_callback(self._refreshed)

    def _refreshed(self, done: asyncio.Task[None]) -> None:
        self._refreshing.discard(done)
        if not done.cancelled() and (error := done.exception()):
            log.error("what this device announces could not be changed: %s", error)

    async def anybody(self, seconds: float, *, known: Callable[[], bool]) -> None:
        """Wait until some device comes into sight or connects, at most that long; not at all when some are known."""
        await self._heard(seconds, lambda _device: True, unless=known)

    async def sighted(self, device: DeviceId, seconds: float) -> None:
        """Wait until a device comes into sight or connects, or a relay comes or goes, at most that long."""
        await self._heard(seconds, lambda seen: seen == device, unless=lambda: False)

    async def _heard(self, seconds: float, fits: Callable[[DeviceId], bool], unless: Callable[[], bool]) -> None:
        heard = asyncio.Event()

        def listen(event: str, fields: Mapping[str, Any]) -> None:
            # A relay that is back may know the device.
            if event == "relays" or (event in ("found", "connected") and fits(fields["device"])):
                heard.set()

        cancel = self._events.subscribe(listen)
        try:
            if not unless():
                async with asyncio.timeout(seconds):
                    await heard.wait()
        except TimeoutError:
            pass
        finally:
            cancel()

    def _found(self, sighting: Sighting) -> None:
        self._events.emit("found", device=sighting.device, name=self._peer_name(sighting.device))

    def _lost(self, device: DeviceId) -> None:
        self._events.emit("lost", device=device, name=self._peer_name(device))
