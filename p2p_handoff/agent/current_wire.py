# SPDX-License-Identifier: Apache-2.0
"""The wire by which one handoff reaches the other device at the moment, if there is one. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. Wires break and are replaced while a handoff goes on; what is reported of
the way is that of the last one.
"""

from __future__ import annotations

from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import UnreachableError
from p2p_handoff.protocol import messages as msg


class CurrentWire:
    """Either side's way to the other."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.engine = ""
        """Name of the engine of the last wire."""
        self.path = "unknown"
        """How the devices reached each other on the last wire: host, reflexive, relayed."""

    def change(self, wire: Wire) -> None:
        """The other device is reached by this wire from now on."""
        self.wire = wire
        self.engine = wire.engine_name

    def lost(self, wire: Wire) -> bool:
        """A wire closed; returns True if it was the current one, after which there is none."""
        if wire is not self.wire:
            return False
        self.wire = None
        return True

    def require(self) -> Wire:
        """The wire.

        Raises:
            UnreachableError: There is none.
        """
        if self.wire is None:
            raise UnreachableError("no connection to the other device")
        return self.wire

    def send(self, message: msg.Message) -> None:
        """Send a message.

        Raises:
            UnreachableError: There is no wire, or it is closed.
        """
        self.require().send(message)

    async def learn_path(self) -> None:
        """Note how the wire reaches the other device.

        Raises:
            UnreachableError: There is none.
        """
        self.path = await self.require().path_kind()
