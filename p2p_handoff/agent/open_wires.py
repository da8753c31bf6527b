# SPDX-License-Identifier: Apache-2.0
"""The open wires of an agent, one per device. Layer: agent. Specification: docs/specs/handoff-v2.md §8."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from p2p_handoff.agent.dialling import Dialling
from p2p_handoff.agent.wire import Wire
from p2p_handoff.ids import DeviceId


class OpenWires:
    """Keeps one wire per device.

    Args:
        dialling: What is known of the agent.
        spawn: Runs work that nobody waits for.
    """

    def __init__(self, dialling: Dialling, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._d = dialling
        self._spawn = spawn
        self._wires: dict[DeviceId, Wire] = {}

    def all(self) -> Sequence[Wire]:
        """All open wires."""
        return [wire for wire in self._wires.values() if wire.is_open]

    def get(self, device: DeviceId) -> Wire | None:
        """The open wire to a device, if there is one."""
        wire = self._wires.get(device)
        return wire if wire is not None and wire.is_open else None

    def adopt(self, wire: Wire) -> None:
        """Keep a new wire. Of two dialled crosswise both sides keep the one that the lower id dialled.

        One to a device that has started anew takes the place of what was open to it before. A wire that cannot be kept
        is closed: left open without a listener, it would answer every ping and no message.
        """
        try:
            self._adopt(wire)
        except BaseException:
            self._spawn(wire.close("the connection could not be taken up"))
            raise

    def _adopt(self, wire: Wire) -> None:
        if self._d.pinned(wire.peer) is None:
            self._spawn(wire.close("the devices are not linked any more"))
            return
        if not self._d.is_clear(wire):
            self._spawn(wire.close("a later state was shown on another connection; connect again"))
            return
        known = self.get(wire.peer)
        if known is not None and known is not wire:
            loser = self._loser(known, wire)
            self._spawn(loser.close("another connection to the same device is kept"))
            if loser is wire:
                return
        self._wires[wire.peer] = wire
        self._d.opened(wire)

    async def close(self) -> None:
        """Close all, and wait until everybody has heard that they broke."""
        known = tuple(self._wires.values())
        await asyncio.gather(*(wire.close("the agent stops") for wire in known))
        # One that broke a moment ago has still to tell, and what it tells is looked up in the store.
        await asyncio.gather(*(wire.ended() for wire in known))

    def _loser(self, known: Wire, fresh: Wire) -> Wire:
        if known.hello is not None and fresh.hello is not None and known.hello.instance != fresh.hello.instance:
            return known  # The other device has started anew: nobody is at the end of the older one.
        if known.dialler == fresh.dialler:
            return known  # The same side dialled again: it has lost the older one.
        i_am_lower = self._d.identity.device < fresh.peer
        return known if fresh.dialler is i_am_lower else fresh
