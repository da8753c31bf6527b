# SPDX-License-Identifier: Apache-2.0
"""Which devices are in sight: the book that discovery keeps. Layer: I/O ring, no I/O itself.

Several service instances can claim the same device id. Of those that were recognised by a tag the last one heard
counts: the device took another name, perhaps without a goodbye. Of those that only say so the first one counts while it
lasts: a latecomer cannot take a device's place. When one goes, the next moves up: a device that changes its name stays
in sight. All of them are addresses to try. Specification: docs/specs/discovery.md §4, §5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from p2p_handoff.discovery.announcement import Sighting, Stranger
from p2p_handoff.ids import DeviceId

MAX_INSTANCES: Final = 256
"""Service instances remembered: a large office has some dozens, more come only from a flood."""
MAX_CLAIMS: Final = 4
"""Instances of one device that are worth a try: its own, one of before a crash, and an impostor or two."""


class SightingBook:
    """Instances by name, devices by id; tells what changed.

    Args:
        on_found: Called with a device that came into sight, or whose sighting changed.
        on_lost: Called with a device that nobody announces any more.
    """

    def __init__(self, on_found: Callable[[Sighting], None], on_lost: Callable[[DeviceId], None]) -> None:
        self._on_found = on_found
        self._on_lost = on_lost
        self._instances: dict[str, Sighting | Stranger] = {}
        self._devices: dict[DeviceId, Sighting] = {}

    @property
    def devices(self) -> Mapping[DeviceId, Sighting]:
        """What is in sight now."""
        return self._devices

    @property
    def rooms(self) -> tuple[Sighting | Stranger, ...]:
        """Who shows an open room."""
        return tuple(seen for seen in self._instances.values() if seen.room is not None)

    @property
    def instances(self) -> tuple[str, ...]:
        """Names of all service instances that are remembered."""
        return tuple(self._instances)

    def names_of(self, device: DeviceId) -> tuple[str, ...]:
        """The service instances that claim to be a device."""
        return tuple(name for name, seen in self._instances.items() if _device(seen) == device)

    def claims(self, device: DeviceId) -> tuple[Sighting, ...]:
        """All that claim to be a device, at most MAX_CLAIMS, the one that counts first."""
        every = [seen for seen in self._instances.values() if isinstance(seen, Sighting) and seen.device == device]
        ranked = [
            *(seen for seen in reversed(every) if seen.recognised),
            *(seen for seen in every if not seen.recognised),
        ]
        return tuple(ranked[:MAX_CLAIMS])

    def put(self, instance: str, seen: Sighting | Stranger) -> bool:
        """Note what an instance says now; False when the book is full.

        Strangers are kept as well: they are asked again like the others, so that nobody sees who is recognised.
        """
        before = self._instances.get(instance)
        if before is None and len(self._instances) >= MAX_INSTANCES:
            return False
        self._instances[instance] = seen
        if before is not None and _device(before) != _device(seen):
            self._settle(_device(before))
        self._settle(_device(seen))
        return True

    def remove(self, instance: str) -> None:
        """Note that an instance is gone; an unknown one changes nothing."""
        seen = self._instances.pop(instance, None)
        if seen is not None:
            self._settle(_device(seen))

    def _settle(self, device: DeviceId | None) -> None:
        """Bring the device's entry in line with its best instance and tell what changed."""
        if device is None:
            return
        current = next(iter(self.claims(device)), None)
        if current is None:
            if self._devices.pop(device, None) is not None:
                self._on_lost(device)
        elif self._devices.get(device) != current:
            self._devices[device] = current
            self._on_found(current)


def _device(seen: Sighting | Stranger) -> DeviceId | None:
    return seen.device if isinstance(seen, Sighting) else None
