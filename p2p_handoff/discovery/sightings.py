# SPDX-License-Identifier: Apache-2.0
"""Which devices are in sight: the book that discovery keeps. Layer: I/O ring, no I/O itself.

Several service instances can claim the same device id. The first one heard counts while it lasts, so that a
latecomer cannot take a device's place; when it goes, the next one moves up. Specification: docs/specs/discovery.md §5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from p2p_handoff.discovery.announcement import Sighting
from p2p_handoff.ids import DeviceId

MAX_INSTANCES: Final = 256
"""Service instances remembered: a large office has some dozens, more come only from a flood."""


class SightingBook:
    """Instances by name, devices by id; tells what changed.

    Args:
        on_found: Called with a device that came into sight, or whose sighting changed.
        on_lost: Called with a device that nobody announces any more.
    """

    def __init__(self, on_found: Callable[[Sighting], None], on_lost: Callable[[DeviceId], None]) -> None:
        self._on_found = on_found
        self._on_lost = on_lost
        self._instances: dict[str, Sighting] = {}
        self._devices: dict[DeviceId, Sighting] = {}

    @property
    def devices(self) -> Mapping[DeviceId, Sighting]:
        """What is in sight now."""
        return self._devices

    @property
    def instances(self) -> tuple[str, ...]:
        """Names of all service instances that are remembered."""
        return tuple(self._instances)

    def names_of(self, device: DeviceId) -> tuple[str, ...]:
        """The service instances that claim to be a device."""
        return tuple(name for name, sighting in self._instances.items() if sighting.device == device)

    def put(self, instance: str, sighting: Sighting) -> bool:
        """Note what an instance says now; False when the book is full."""
        before = self._instances.get(instance)
        if before is None and len(self._instances) >= MAX_INSTANCES:
            return False
        self._instances[instance] = sighting
        if before is not None and before.device != sighting.device:
            self._settle(before.device)
        self._settle(sighting.device)
        return True

    def remove(self, instance: str) -> None:
        """Note that an instance is gone; an unknown one changes nothing."""
        sighting = self._instances.pop(instance, None)
        if sighting is not None:
            self._settle(sighting.device)

    def _settle(self, device: DeviceId) -> None:
        """Bring the device's entry in line with its first instance and tell what changed."""
        current = next((seen for seen in self._instances.values() if seen.device == device), None)
        if current is None:
            if self._devices.pop(device, None) is not None:
                self._on_lost(device)
        elif self._devices.get(device) != current:
            self._devices[device] = current
            self._on_found(current)
