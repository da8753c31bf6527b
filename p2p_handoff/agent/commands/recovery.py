# SPDX-License-Identifier: Apache-2.0
"""The command about sessions whose owner is in doubt. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio
import time

from p2p_handoff.agent import doubts
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import arguments
from p2p_handoff.agent.commands.sessions import session_as_json, session_meant
from p2p_handoff.agent.telling import force_warning
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.errors import CancelledError
from p2p_handoff.store.records import SessionRecord


class RecoveryCommands:
    """What is in doubt, and how to go on."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def recover(self, request: Request) -> Answer:
        """What is in doubt, and a fresh attempt to resolve it; or, with force, to go on without an answer."""
        if request.args.get("force"):
            return await self._force(request, session_meant(self._agent, request.args))
        self._agent.parts.seeker.hurry()
        around = self._agent.parts.around
        named = arguments.optional_text(request.args, "session")
        records = [session_meant(self._agent, request.args)] if named else self._agent.sessions()
        frozen, deadline = doubts.in_doubt(records), time.monotonic() + arguments.number(request.args, "wait", 5.0)
        while (frozen or around.store.counter.rolled_back) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            frozen = doubts.in_doubt(self._agent.catalog.find(item.id) for item in frozen)
        old_copy = doubts.old_copy_as_json(around)
        return {
            "in_doubt": [doubts.doubt_as_json(around, record) for record in frozen],
            "lost": doubts.lost_as_json(around, records),
            "old_copy": old_copy,
            "resolved": old_copy is None and all(around.store.forks.open_of(record.id) for record in frozen),
        }

    async def _force(self, request: Request, record: SessionRecord) -> Answer:
        """Go on in a fork, once the person knows what that means."""
        self._agent.parts.forking.check(record)
        if not request.args.get("confirmed"):
            answer = await request.ask(force_warning(record, self._agent.name_of), ["yes", "no"], name="confirm")
            if answer != "yes":
                raise CancelledError("nothing was forced", state=f"{record.title!r} is frozen as before")
        fork = await self._agent.fork(record.id)
        return {**(await session_as_json(self._agent, fork)), "forked": record.id}
