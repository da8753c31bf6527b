# SPDX-License-Identifier: Apache-2.0
"""Whom a relay serves. Layer: signaling, pure. Specification: docs/specs/signaling.md §9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from p2p_handoff.ids import DeviceId


class Policy(Protocol):
    """What a relay allows, asked per request."""

    def may_connect(self, device: DeviceId) -> bool:
        """Whether a device may log in over the network."""

    def may_send(self, sender: DeviceId, recipient: DeviceId) -> bool:
        """Whether an envelope may pass."""

    def may_see(self, asker: DeviceId, device: DeviceId) -> bool:
        """Whether the asker may learn that a device is connected."""

    def may_open_rooms(self, device: DeviceId) -> bool:
        """Whether a device may open rooms here; whoever knows a room may join it."""


@dataclass(frozen=True, slots=True)
class SharedPolicy:
    """A relay for everyone: any device may reach any other."""

    def may_connect(self, device: DeviceId) -> bool:  # noqa: ARG002 - the same answer for every device
        """Every device."""
        return True

    def may_send(self, sender: DeviceId, recipient: DeviceId) -> bool:  # noqa: ARG002 - the same answer for all
        """Every pair."""
        return True

    def may_see(self, asker: DeviceId, device: DeviceId) -> bool:  # noqa: ARG002 - the same answer for all
        """Every pair: who asks must know the id."""
        return True

    def may_open_rooms(self, device: DeviceId) -> bool:  # noqa: ARG002 - the same answer for every device
        """Every device."""
        return True


@dataclass(frozen=True, slots=True)
class EmbeddedPolicy:
    """The relay inside an agent: it serves its own device and nobody else.

    Others reach the agent's device and nothing beyond it, and only that device opens rooms. It connects by
    its local port, so that nobody with a copy of its key takes its place from the network.
    """

    own: DeviceId

    def may_connect(self, device: DeviceId) -> bool:
        """Every device but the own one."""
        return device != self.own

    def may_send(self, sender: DeviceId, recipient: DeviceId) -> bool:
        """To the own device, or from it."""
        return self.own in {sender, recipient}

    def may_see(self, asker: DeviceId, device: DeviceId) -> bool:
        """The own device sees all; the others see it alone."""
        return self.own in {asker, device}

    def may_open_rooms(self, device: DeviceId) -> bool:
        """The own device."""
        return device == self.own
