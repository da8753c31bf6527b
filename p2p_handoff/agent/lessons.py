# SPDX-License-Identifier: Apache-2.0
"""Handoffs whose Init tells this device that it is not the primary any more: held back until that is durable.

Layer: agent. Specification: docs/specs/handoff-v2.md §3 (Init), docs/specs/ownership.md §3 rule 8. A new primary may
hand the session back before its old one has learned that it was accepted.
"""

from __future__ import annotations

import asyncio

from p2p_handoff.agent.held_back import HeldBack
from p2p_handoff.agent.learning import Learner
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import RejectedError
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.ownership import Role


class Lessons:
    """What one agent learns of the handoffs that begin.

    Args:
        services: The agent's parts.
        learner: Stores what a chain proves.
        held_back: Keeps the handoffs meanwhile.
    """

    def __init__(self, services: Services, learner: Learner, held_back: HeldBack) -> None:
        self._services = services
        self._learner = learner
        self._held_back = held_back

    def begin(self, wire: Wire, init: msg.Init, chain: Chain) -> None:
        """Learn a chain, and hold back the handoff that brought it."""
        self._held_back.begin(wire, init, lambda: self._store(init.session, chain))

    async def _store(self, session: SessionId, chain: Chain) -> None:
        store = self._services.store.ownership
        held = await asyncio.to_thread(store.held_of, session)
        outgoing = None if held is None else await self._learner.learn(held, chain)
        if outgoing is not None:
            await outgoing.answered.wait()
        held = await asyncio.to_thread(store.held_of, session)
        if held is not None and held.ownership.role is not Role.SECONDARY:
            raise RejectedError("that device has not stored its own handoff yet", reason=RejectReason.BUSY.value)
