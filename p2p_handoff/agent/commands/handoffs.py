# SPDX-License-Identifier: Apache-2.0
"""Commands that hand sessions over and fetch them, and those that answer requests. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import arguments
from p2p_handoff.agent.commands.progress import Progress
from p2p_handoff.agent.report import first_that_fit
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.control.schema import MAX_LINE


class HandoffCommands:
    """Handoffs between linked devices."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def to(self, request: Request) -> Answer:
        """Hand a session over."""
        args = request.args
        text, here = arguments.wish(args)
        progress = Progress(self._agent, request)
        return await progress.until_end(
            self._agent.to(
                arguments.text(args, "peer"),
                text,
                here=here,
                only=arguments.types(args),
                max_pause=arguments.number(args, "max_pause", self._agent.settings.max_pause),
                letting=arguments.letting(args),
                on_begun=progress.follow,
            )
        )

    async def take(self, request: Request) -> Answer:
        """Fetch a session."""
        args = request.args
        text, here = arguments.wish(args)
        progress = Progress(self._agent, request)
        return await progress.until_end(
            self._agent.take(
                text,
                here=here,
                peer=arguments.optional_text(args, "from"),
                only=arguments.types(args),
                into=arguments.directory(args, "into"),
                on_begun=progress.follow,
            )
        )

    async def requests(self, _request: Request) -> Answer:
        """Requests that wait for an answer."""
        now = asyncio.get_running_loop().time()
        requests, more = first_that_fit([item.as_json(now) for item in self._agent.pending()], MAX_LINE // 2)
        return {"requests": requests, "more": more}

    async def accept(self, request: Request) -> Answer:
        """Say yes and wait for the end."""
        args = request.args
        pending = self._agent.requests.find(arguments.optional_text(args, "token"))
        progress = Progress(self._agent, request)
        progress.follow(pending.txn)
        return await progress.until_end(
            self._agent.accept_and_wait(
                pending.token, only=arguments.types(args), into=arguments.directory(args, "into")
            )
        )

    async def reject(self, request: Request) -> Answer:
        """Say no."""
        item = self._agent.reject(
            arguments.optional_text(request.args, "token"), reason=arguments.optional_text(request.args, "reason") or ""
        )
        return {"rejected": item.token, "title": item.title, "from": item.peer}
