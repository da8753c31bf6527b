# SPDX-License-Identifier: Apache-2.0
"""Which sessions may be taken: asked of other devices, and told to them. Layer: agent.

Specification: docs/specs/handoff-v2.md §3 (ListSessions, SessionList).
"""

from __future__ import annotations

import asyncio
import itertools

from p2p_handoff.agent.admission import Admission
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import TimedOutError, UnreachableError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.limits import HANDSHAKE_DEADLINE
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.policy import Verdict


class Listing:
    """The lists of one agent.

    Args:
        services: The agent's parts.
        admission: What the settings let other devices take.
    """

    def __init__(self, services: Services, admission: Admission) -> None:
        self._services = services
        self._admission = admission
        self._asked: dict[int, asyncio.Future[msg.SessionList]] = {}
        self._numbers = itertools.count(1)

    async def of(self, wire: Wire) -> tuple[msg.SessionSummary, ...]:
        """What a device offers to be taken.

        Raises:
            UnreachableError: The connection ends before the answer.
            TimedOutError: The device is there and does not answer.
        """
        number = next(self._numbers)
        answer: asyncio.Future[msg.SessionList] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            wire.send(msg.ListSessions(number))
            async with asyncio.timeout(HANDSHAKE_DEADLINE):
                if await wire.carries(answer):
                    return answer.result().sessions
            name = self._services.peer_name(wire.peer)
            raise UnreachableError(f"the connection to {name} broke before it answered", advice="try again")
        except TimeoutError:
            raise TimedOutError(f"{self._services.peer_name(wire.peer)} did not answer") from None
        finally:
            del self._asked[number]

    def received(self, message: msg.SessionList) -> None:
        """A device's answer."""
        answer = self._asked.get(message.number)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def tell(self, wire: Wire, number: int) -> None:
        """Answer a device with what it may take."""
        summaries = tuple(
            msg.SessionSummary(
                record.id, record.title, record.ownership.role.value, record.ownership.epoch, record.ownership.primary
            )
            for record in self._services.store.sessions.all()
            if not record.stopped and self._may_take(wire.peer, record.id)
        )
        wire.send(msg.SessionList(number, summaries))

    def _may_take(self, peer: DeviceId, session: SessionId) -> bool:
        return self._admission.judge_take(peer, session).verdict is not Verdict.REFUSE
