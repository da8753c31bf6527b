# SPDX-License-Identifier: Apache-2.0
"""Commands about other devices: which there are, linking and unlinking them, their names. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import arguments
from p2p_handoff.agent.commands.progress import of_a_code, passing_on
from p2p_handoff.agent.current_settings import explained
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.errors import UsageError
from p2p_handoff.security.link_terms import LinkKind, LinkResult


class PeerCommands:
    """Linked devices and those in sight."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def peers(self, request: Request) -> Answer:
        """Linked devices and those in sight; waits a moment on an agent that has just started."""
        known = self._agent.discover
        wait = arguments.number(request.args, "wait", 0.0)
        await self._agent.parts.surroundings.anybody(wait, known=lambda: any(peer.online for peer in known()))
        return self._peer_list()

    async def watch_peers(self, request: Request) -> Answer:
        """An event with the whole list whenever it changes, until the client goes."""
        changed = asyncio.Event()
        names = {"found", "lost", "connected", "disconnected", "linked", "introduced", "unlinked", "renamed"}
        cancel = self._agent.subscribe(lambda name, _fields: changed.set() if name in names else None)
        try:
            while True:
                await request.event("peers", **self._peer_list())
                await changed.wait()
                changed.clear()
        finally:
            cancel()

    def _peer_list(self) -> dict[str, Any]:
        policies = self._agent.policies
        peers = [{**peer.as_json(), "policy": policies.as_json(peer.device)} for peer in self._agent.discover()]
        unclear = [explained(doubt) for doubt in policies.unclear()]
        return {"peers": peers, "discovery": self._agent.parts.surroundings.problem or "", "unclear": unclear}

    async def link(self, request: Request) -> Answer:
        """Make a code, or use one; asks whose device the other one is."""
        code = arguments.optional_text(request.args, "code")
        async with passing_on(self._agent, request, of_a_code):
            outcome = await self._agent.link(
                code,
                on_code=lambda text: request.event("code", code=text, expires_in=600),
                decide=_decider(request),
            )
        name = self._agent.peer_book.name(outcome.peer.device)
        return {"linked": outcome.peer.device, "name": name, "kind": outcome.kind.value}

    async def unlink(self, request: Request) -> Answer:
        """Trust a device no longer."""
        link = await self._agent.unlink(arguments.text(request.args, "peer"), disown=bool(request.args.get("disown")))
        return {"unlinked": link.device, "name": link.name}

    async def rename(self, request: Request) -> Answer:
        """Call a linked device by another name here."""
        renamed = self._agent.rename(arguments.text(request.args, "peer"), arguments.text(request.args, "name"))
        return {"device": renamed.device, "name": renamed.name}


def _decider(request: Request) -> Callable[[LinkResult], Awaitable[LinkKind | None]]:
    wish = arguments.optional_text(request.args, "kind")
    if wish is not None and wish not in {kind.value for kind in LinkKind}:
        raise UsageError(f"{wish!r} is no kind of link", advice="kinds are own and other")

    async def decide(result: LinkResult) -> LinkKind | None:
        await request.event("peer", name=result.peer_name, verification=result.verification)
        if wish is not None:
            return LinkKind(wish)
        answer = await request.ask(
            f"Is {result.peer_name} your own device?",
            ["own", "other", "no"],
            "own",
        )
        return None if answer == "no" else LinkKind(answer)

    return decide
