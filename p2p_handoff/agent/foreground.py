# SPDX-License-Identifier: Apache-2.0
"""What an agent in the foreground of a terminal shows and asks. Layer: agent.

Specification: docs/cli.md §4.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.requests import Wish
from p2p_handoff.errors import HandoffError
from p2p_handoff.session.paths import printable

_LINE = 200


class Foreground:
    """Prints what happens and asks y/n when a request arrives."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._questions: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._asking = sys.stdin.isatty()

    async def run(self) -> None:
        """Show and ask until cancelled."""
        agent = self._agent
        _say(f"{agent.name} ({agent.device[:8]}) is ready, engine {agent.engine}. Ctrl-C stops it.")
        if agent.parts.surroundings.problem:
            _say(agent.parts.surroundings.problem)
        cancel = agent.subscribe(self._event)
        try:
            while True:
                await self._ask(await self._questions.get())
        finally:
            cancel()

    def _event(self, name: str, fields: Mapping[str, Any]) -> None:
        if name in ("request", "take-request"):
            self._questions.put_nowait(fields)
        elif name in _LINES:
            _say(_LINES[name].format_map({key: printable(str(value), _LINE) for key, value in fields.items()}))

    async def _ask(self, request: Mapping[str, Any]) -> None:
        parts = ", ".join(f"{part['name']} ({part['type']}, {part['bytes']:,} bytes)" for part in request["parts"])
        title, peer = printable(request["title"], _LINE), printable(request["from"], _LINE)
        does = "offers" if request["wish"] == Wish.PUSH.value else "wants to take"
        _say(f"{peer} {does} '{title}': {printable(parts, 1000)}")
        if not self._asking:
            _say(f"answer with: handoff accept {request['token']} or handoff reject {request['token']}")
            return
        answer = await _read_line("Accept? [y/N] ")
        try:
            if answer.strip().lower() in ("y", "yes"):
                self._agent.accept(request["token"])
            else:
                self._agent.reject(request["token"])
        except HandoffError as error:
            _say(printable(error.sentence, 1000))


_LINES = {
    "linked": "{name} is linked.",
    "unlinked": "{text}.",
    "introduced": "{text}",
    "link-tried": "A link was tried: {text}.",
    "link-disturbed": "While a link is made: {text}.",
    "connected": "Connected to {name} by {engine}.",
    "handoff": "Handoff of '{title}' with {peer}: {outcome}. {text}",
    "handoff-failed": "A handoff failed: {text}",
    "settings": "Settings taken over: {taken_over}.",
    "readable": "{name} can be read already, while the rest arrives: {preview}",
    "not-in-place": "{text}",
    "not-kept": "There is no way back from this handoff: {text}.",
    "merged": "A fork from {peer} was merged.",
    "rejoined": "'{title}' came together with its original.",
}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a foreground agent talks to its terminal


async def _read_line(prompt: str) -> str:
    """Read a line without a thread that would keep the process from ending."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()
    print(prompt, end="", file=sys.stderr, flush=True)  # noqa: T201 - as above

    def read() -> None:
        if not line.done():
            line.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin.fileno(), read)
    try:
        return await line
    finally:
        loop.remove_reader(sys.stdin.fileno())
