# SPDX-License-Identifier: Apache-2.0
"""Keeps the target of one handoff connected to its source, and knows for how long to wait for it. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. The source dials; a target looks for it only while it owes a decision to a
source that is frozen. What was not decided is given up when the source stays away, or says nothing, for too long.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Final, Protocol

from p2p_handoff.agent.current_wire import CurrentWire
from p2p_handoff.agent.seeking import always
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.limits import OFFER_LIFETIME, PEER_DEAD_AFTER, SOURCE_SILENCE
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.target import Target, TargetEvent, TargetState

ABANDON_AFTER: Final = OFFER_LIFETIME
"""Seconds a source may stay away before a grant; what it sent is forgotten then."""
_SURELY_ARRIVED: Final = 2 * PEER_DEAD_AFTER
"""Seconds on a live wire after which what was sent on it has arrived: a dead one is noticed in half of that."""
_AWAITED: Final = (TargetState.SEALING, TargetState.ACCEPTED, TargetState.RESUMED, TargetState.REFUSED)
"""States in which the source is known to have frozen, and waits for the decision."""


class Driver(Protocol):
    """Whom the connection is kept for."""

    machine: Target

    @property
    def is_over(self) -> bool:
        """True once nothing more will arrive."""

    @property
    def undecided(self) -> bool:
        """True while nothing durable depends on the handoff."""

    def happened(self, event: TargetEvent) -> None:
        """An event for the machine."""


class IncomingConnection:
    """The way to the source.

    Args:
        services: The agent's parts.
        driver: Told when the source was waited for in vain.
    """

    def __init__(self, services: Services, driver: Driver) -> None:
        self.current = CurrentWire()
        self._services = services
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._replaced: weakref.WeakSet[Wire] = weakref.WeakSet()
        self._away: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[Wire] | None = None
        self._said_at: float | None = None
        """When the decision was sent last."""
        self._heard_at = self._loop.time()
        self._silence = self._loop.call_later(SOURCE_SILENCE, self._look_for_silence)

    def attach(self, wire: Wire) -> None:
        """The source is reached by this wire from now on; one that another took the place of is not gone back to."""
        if wire is self.current.wire or wire in self._replaced:
            return
        if self.current.wire is not None:
            self._replaced.add(self.current.wire)
        self.current.change(wire)
        self._stop_waiting()
        self._stop_looking()

    def lost(self, wire: Wire) -> bool:
        """A wire to the source closed; returns True if it was the way to it."""
        if not self.current.lost(wire):
            return False
        self._stop_waiting()
        self._look_for_source()
        if not self._driver.is_over:
            self._away = self._loop.call_later(ABANDON_AFTER, self._driver.happened, tgt.Abandoned())
        return True

    def heard(self) -> None:
        """The source said or sent something."""
        self._heard_at = self._loop.time()

    def decision_said(self) -> None:
        """The decision was sent just now."""
        self._said_at = self._loop.time()

    def close(self) -> None:
        """Wait and look for the source no longer."""
        self._stop_waiting()
        self._silence.cancel()
        self._stop_looking()

    def _look_for_source(self) -> None:
        """A source that is frozen waits for this device's word: whoever reaches the other first."""
        machine = self._driver.machine
        said_in_time = self._said_at is not None and self._loop.time() - self._said_at > _SURELY_ARRIVED
        if machine.mode is Mode.MOVE and machine.state in _AWAITED and not said_in_time:
            seeking = self._services.seek(machine.source, always)
            self._looking = self._loop.create_task(seeking, name=f"seek source {machine.txn[:6]}")

    def _look_for_silence(self) -> None:
        """A source that is connected and says nothing must not keep an undecided handoff open for ever."""
        if self._driver.is_over or not self._driver.undecided:
            return
        reviewing = self._driver.machine.state is TargetState.REVIEWING
        silent = 0.0 if reviewing else self._loop.time() - self._heard_at
        if silent >= SOURCE_SILENCE:
            self._driver.happened(tgt.Abandoned())
            return
        self._silence = self._loop.call_later(SOURCE_SILENCE - silent, self._look_for_silence)

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _stop_waiting(self) -> None:
        if self._away is not None:
            self._away.cancel()
            self._away = None
