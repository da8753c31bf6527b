# SPDX-License-Identifier: Apache-2.0
"""What an agent sees around it and says of itself: discovery, sightings, addresses to dial. Layer: agent.

Specification: docs/specs/discovery.md §5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from p2p_handoff.agent.events import Events
from p2p_handoff.agent.network import Lookout, Network
from p2p_handoff.agent.peers import relay_url
from p2p_handoff.discovery.announcement import Announcement, Room, Sighting
from p2p_handoff.ids import DeviceId
from p2p_handoff.settings.config import Settings


class Surroundings:
    """Who is in sight of one agent.

    Args:
        settings: Whether to use mDNS, and addresses given by hand.
        network: What looks around.
        events: Told of devices ``found`` and ``lost``.
        announcement: What this device advertises; its room is filled in here.
        peer_name: Display name of a device.
    """

    def __init__(
        self,
        settings: Settings,
        network: Network,
        events: Events,
        announcement: Callable[[Room | None], Announcement],
        peer_name: Callable[[DeviceId], str],
    ) -> None:
        self._settings = settings
        self._network = network
        self._events = events
        self._announcement = announcement
        self._peer_name = peer_name
        self._room: Room | None = None
        self._discovery: Lookout | None = None

    async def start(self) -> None:
        """Announce this device and look for others, where the settings say so."""
        if self._settings.mdns:
            self._discovery = self._network.lookout(self._found, self._lost)
            await self._discovery.start(self._announcement(self._room))

    async def close(self) -> None:
        """Take the announcement back and look no longer."""
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
        """Relay URLs of a device as seen now, best first."""
        sighting = self.sightings().get(device)
        return [relay_url(host, sighting.port) for host in sighting.addresses] if sighting else []

    def room_urls(self, nameplate: int) -> list[str]:
        """Relay URLs at which an open room with that nameplate is seen."""
        return [
            relay_url(host, sighting.port)
            for sighting in self.sightings().values()
            if sighting.room is not None and sighting.room[1] == nameplate
            for host in sighting.addresses
        ]

    async def announce_room(self, room: Room | None) -> None:
        """Tell the network about the open room, or that there is none any more."""
        self._room = room
        if self._discovery is not None:
            await self._discovery.update(self._announcement(room))

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
