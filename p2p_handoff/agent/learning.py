# SPDX-License-Identifier: Apache-2.0
"""Stores what a peer's chain proves of a session's ownership, whatever message brought it. Layer: agent.

Specification: docs/specs/ownership.md §3 rule 8. What a chain means is decided in protocol.news. A source that waits
for its target's answer stores it itself, in turn with that answer, which may be under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.services import Services
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import news
from p2p_handoff.protocol.news import Lesson
from p2p_handoff.protocol.source import LearnedAccepted, LearnedLater, SourceState
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.journal import Held


class Learner:
    """What one agent learns.

    Args:
        services: The agent's parts.
        outgoing_of: The outgoing handoff of a session, if one is under way.
    """

    def __init__(self, services: Services, outgoing_of: Callable[[SessionId], Outgoing | None]) -> None:
        self._services = services
        self._outgoing_of = outgoing_of

    async def learn(self, held: Held, chain: Chain) -> Outgoing | None:
        """Follow a chain.

        Args:
            held: The session as it is here.
            chain: What came.

        Returns:
            The handoff that was told and stores it in its own time; None where all that it says is durable.

        Raises:
            TrustError: It is bad, or contradicts what is known.
            StorageError: It could not be stored.
        """
        session = held.ownership.session
        lesson = await asyncio.to_thread(news.lesson, held, chain, me=self._services.identity.device)
        if lesson is Lesson.NOTHING:
            return None
        outgoing = self._outgoing_of(session)
        if outgoing is None:
            await self._store(session, chain)
            return None
        async with outgoing.storing:  # An answer that is being stored comes first: what it says is not known twice.
            if outgoing.machine.state is not SourceState.FROZEN:
                await self._store(session, chain)
                return None
        encoded = await asyncio.to_thread(chains.encode_chain, chain)
        outgoing.learned(LearnedAccepted(encoded) if lesson is Lesson.RESOLVED else LearnedLater(encoded))
        return outgoing

    async def _store(self, session: SessionId, chain: Chain) -> None:
        own = await asyncio.to_thread(self._services.store.ownership.learn, session, chain)
        self._services.events.emit("owner", session=own.session, primary=own.primary, epoch=own.epoch)
