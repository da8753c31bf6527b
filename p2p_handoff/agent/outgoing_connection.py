# SPDX-License-Identifier: Apache-2.0
"""Keeps the source of one handoff connected to its target. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. Nothing is decided here but when to dial again and when to stop looking: a
target that does not come back ends a handoff before the grant; after it, its source looks for as long as it takes. One
that is there and silent is outgoing_patience's matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final, Protocol

from p2p_handoff.agent.current_wire import CurrentWire
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.push_refusals import old_there
from p2p_handoff.agent.reaching import first_wire
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, StorageError, UnreachableError
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.source import Source, SourceEvent, SourceState

log = logging.getLogger(__name__)

RECONNECT_FOR: Final = 30.0
"""Seconds to look for a target that went away before a grant, and before a frozen source reports a doubt."""
_GIVES_UP: Final = (SourceState.OFFERED, SourceState.COPYING, SourceState.FINISHING)
"""Where a target that cannot be reached ends the handoff."""


class Driver(Protocol):
    """Whom the connection is kept for."""

    machine: Source

    @property
    def undecided(self) -> bool:
        """True while this side may still give up."""

    def happened(self, event: SourceEvent) -> None:
        """An event for the machine."""

    def failed(self, error: HandoffError) -> None:
        """This side cannot go on."""

    def doubtful(self) -> None:
        """A granted session has had no answer for so long that its user should know."""


class OutgoingConnection:
    """The way to the target.

    Args:
        services: The agent's parts.
        plan: What to hand over to whom.
        driver: Told when the way is there, when it is gone and when it was looked for in vain.
    """

    def __init__(self, services: Services, plan: OutgoingPlan, driver: Driver) -> None:
        self.current = CurrentWire()
        self._services = services
        self._plan = plan
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._dialling: asyncio.Task[None] | None = None
        self._doubt: asyncio.TimerHandle | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is a wire now."""
        return self.current.wire is not None

    def close(self) -> None:
        """Look for the target no longer."""
        if self._dialling is not None:
            self._dialling.cancel()
        self._cancel_doubt()

    async def first(self) -> None:
        """Reach the target before anything was offered.

        Raises:
            UnreachableError: It cannot be reached, or is silent for too long.
            TrustError, VersionError: It can, and is not to be dealt with.
        """
        await self._adopt(await first_wire(self._services, self._plan.target, self._plan.txn))

    def lost(self, wire: Wire) -> None:
        """A wire to this target closed."""
        if self.current.lost(wire):
            self._driver.happened(src.Disconnected())

    def dial_again(self) -> None:
        """Look for the target, if that is not done already; ``Connected`` follows."""
        if self._dialling is None or self._dialling.done():
            self._dialling = self._loop.create_task(self._reconnect(), name=f"redial {self._plan.txn[:6]}")

    async def _adopt(self, wire: Wire) -> None:
        # What a Hello said is known only now; a frozen source has to ask even an old copy.
        if self._driver.undecided and self._plan.mode is not Mode.COPY and self._services.is_old(self._plan.target):
            raise old_there(self._services.peer_name(self._plan.target))
        self.current.change(wire)
        await self.current.learn_path()
        if not wire.is_open:
            self.lost(wire)

    async def _reconnect(self) -> None:
        deadline = self._loop.time() + RECONNECT_FOR
        for delay in delays(self._services.entropy):
            if self._is_frozen():
                self.doubt_soon()
                while not self.is_there:  # It may break again while it is looked at.
                    await self._adopt(await self._services.seek(self._plan.target, self._is_awaited))
            if self.is_there or await self._is_reached():
                self._cancel_doubt()
                self._driver.happened(src.Connected())
                return
            if self._loop.time() > deadline and self._driver.machine.state in _GIVES_UP:
                name = self._services.peer_name(self._plan.target)
                self._driver.failed(UnreachableError(f"the connection to {name} broke and did not come back"))
                return
            await self._services.sighted(self._plan.target, delay)

    def _is_frozen(self) -> bool:
        return self._driver.machine.state is SourceState.FROZEN

    def _is_awaited(self) -> bool:
        """Whether somebody waits for the answer: where the work goes on in a fork there is no hurry."""
        with contextlib.suppress(StorageError):
            return self._services.store.forks.open_of(self._plan.session) is None
        return True

    async def _is_reached(self) -> bool:
        try:
            await self._adopt(await self._services.connect(self._plan.target))
        except HandoffError as error:
            log.info("handoff %s: cannot reach the target yet: %s", self._plan.txn[:6], error)
        except Exception:
            log.exception("handoff %s: dialling failed in a way that nobody foresaw", self._plan.txn[:6])
        return self.is_there  # It may have broken again while it was looked at.

    def doubt_soon(self) -> None:
        """A frozen source has no connection: if it stays so, that is reported while it keeps trying."""
        if self._doubt is None:
            self._doubt = self._loop.call_later(RECONNECT_FOR, self._driver.doubtful)

    def _cancel_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None
