# SPDX-License-Identifier: Apache-2.0
"""Puts in place what an incoming handoff brought, once it is this device's. Layer: agent.

Specification: docs/specs/adapters.md §8, docs/specs/handoff-v2.md §7. The session is this device's already: whatever
stands in the way is tried again until it works, and what the handoff replaces is kept before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from p2p_handoff.adapters.base import Placement
from p2p_handoff.agent import resume
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import Mode

log = logging.getLogger(__name__)


class Placing:
    """The last step of one incoming handoff.

    Args:
        services: The agent's parts.
        init: Which handoff.
        arrivals: What is staged.
        shown: Called when everything is in place as far as anyone can see: the user need not wait for the rest.
    """

    def __init__(self, services: Services, init: msg.Init, arrivals: Arrivals, shown: Callable[[], None]) -> None:
        self.placements: list[Placement] = []
        """Where the parts are, once they are in place."""
        self._shown = shown
        self._services = services
        self._init = init
        self._arrivals = arrivals
        self._resumed: list[str] = []

    @property
    def resumed(self) -> str:
        """What ran on resume, or why nothing did."""
        return "; ".join(self._resumed)

    async def put_in_place(self) -> None:
        """Put everything in place, however long that takes."""
        services, init = self._services, self._init
        for delay in delays(services.entropy):
            try:
                await self._keep_replaced()
                await self._arrivals.show()
                self._shown()
                self.placements = await self._arrivals.commit(services.store)
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the session is this device's already
                # What is staged stays until it can be put in place.
                log.error("handoff %s is not in place yet: %s", init.txn[:6], error)
                services.unplaced.tell(init.txn, init.session, error)
                await asyncio.sleep(delay)
        services.unplaced.placed(init.session)
        services.catalog.forget_open(init.session)
        await in_thread(services.keeper.prune, init.session)

    async def resume(self) -> None:
        """Run what the settings say for a session that arrived; one that was merged is in use here."""
        if self._init.mode is Mode.MERGE:
            return
        for arrival, placement in zip(self._arrivals.all(), self.placements, strict=True):
            detail = await resume.run(self._services.settings.resume, arrival.part.kind, placement.path)
            self._resumed.extend([detail] if detail else [])

    async def _keep_replaced(self) -> None:
        """What the handoff replaces here stays, to be brought back by an undo."""
        txn, session = self._init.txn, self._init.session
        if self._init.mode is not Mode.MOVE:
            return
        failure = await in_thread(self._services.keeper.before_commit, session, txn)
        if failure is not None:
            log.warning("handoff %s: what it replaces is not kept: %s", txn[:6], failure)
            self._services.events.emit("not-kept", txn=txn, session=session, text=failure.what)
