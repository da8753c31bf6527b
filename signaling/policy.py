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

    def recipient(self, sender: DeviceId, named: DeviceId | None) -> DeviceId | None:
        """Whom an envelope goes to; None where it may not pass.

        Args:
            sender: Who hands it in.
            named: Whom it names; None for the device that the relay is embedded in.
        """

    def return_address(self, sender: DeviceId) -> DeviceId | None:
        """What a recipient is told of the sender; None means the device that the relay is embedded in."""

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

    def recipient(self, sender: DeviceId, named: DeviceId | None) -> DeviceId | None:  # noqa: ARG002 - the same for all
        """Whoever is named."""
        return named

    def return_address(self, sender: DeviceId) -> DeviceId | None:
        """The sender."""
        return sender

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
    its local port, so that nobody with a copy of its key takes its place from the network. No message names it:
    these relays are spoken to in the clear, and whoever knows an id must not learn here whether it is this one.
    """

    own: DeviceId

    def may_connect(self, device: DeviceId) -> bool:
        """Every device but the own one."""
        return device != self.own

    def recipient(self, sender: DeviceId, named: DeviceId | None) -> DeviceId | None:
        """The own device for those who name nobody; whoever is named for the own device."""
        if sender == self.own:
            return named
        return self.own if named is None else None

    def return_address(self, sender: DeviceId) -> DeviceId | None:
        """The sender, unless it is the own device."""
        return None if sender == self.own else sender

    def may_see(self, asker: DeviceId, device: DeviceId) -> bool:  # noqa: ARG002 - the same answer for every device
        """The own device sees all; the others see nobody."""
        return asker == self.own

    def may_open_rooms(self, device: DeviceId) -> bool:
        """The own device."""
        return device == self.own
