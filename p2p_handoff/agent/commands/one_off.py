# SPDX-License-Identifier: Apache-2.0
"""Commands that send a copy once, by a code, to a device that need not be linked. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

from typing import Final

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import arguments
from p2p_handoff.agent.commands.progress import Progress, of_a_code, passing_on
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.errors import UsageError
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.security.link_terms import LinkKind, LinkResult, Purpose

COPY_BEGINS_WITHIN: Final = 120.0
"""Seconds after a code was used: the sender looks through its files once more before it connects."""


class OneOffCommands:
    """``handoff send`` and ``handoff receive``."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def send(self, request: Request) -> Answer:
        """One-off: show a code and copy paths to whoever uses it."""
        record = await self._agent.start(arguments.texts(request.args, "paths"))
        async with passing_on(self._agent, request, of_a_code):
            outcome = await self._agent.link(
                on_code=lambda text: request.event("code", code=text, expires_in=600),
                decide=_decide_copy,
                purpose=Purpose.COPY,
            )
        peer = outcome.peer.device
        progress, letting = Progress(self._agent, request), arguments.letting(request.args)
        return await progress.until_end(
            self._agent.to(peer, record.id, mode=Mode.COPY, letting=letting, on_begun=progress.follow)
        )

    async def receive(self, request: Request) -> Answer:
        """One-off: use a code and take the copy."""
        into = arguments.directory(request.args, "into")
        if into is None:
            raise UsageError("the argument 'into' is missing")
        code = arguments.text(request.args, "code")
        progress = Progress(self._agent, request)
        arrived = self._agent.handoffs.expect_copy(into, progress.follow)
        try:
            await self._agent.link(code, decide=_decide_copy, purpose=Purpose.COPY)
            self._agent.handoffs.copy_must_begin(COPY_BEGINS_WITHIN)
            return await progress.until_end(arrived)
        finally:
            arrived.cancel()


async def _decide_copy(_result: LinkResult) -> LinkKind:
    return LinkKind.OTHER
