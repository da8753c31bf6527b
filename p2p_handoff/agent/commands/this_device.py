# SPDX-License-Identifier: Apache-2.0
"""Commands about this agent itself: its state, its settings, its end, all that happens in it. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import arguments
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.security.words import key_words


class ThisDeviceCommands:
    """What an agent tells and is told of itself."""

    def __init__(self, agent: Agent, stop: Callable[[], None]) -> None:
        self._agent = agent
        self._stop = stop

    async def status(self, _request: Request) -> Answer:
        """The state of this agent."""
        return (await self._agent.status()).as_json()

    async def stop_agent(self, _request: Request) -> Answer:
        """End the agent."""
        asyncio.get_running_loop().call_later(0.05, self._stop)
        return {"stopped": True}

    async def whoami(self, _request: Request) -> Answer:
        """Who this device is."""
        agent = self._agent
        return {
            "device": agent.device,
            "name": agent.name,
            "key": key_words(agent.device),
            "keys": agent.parts.keys_kept_in.place.value,
            "keys_in": agent.parts.keys_kept_in.words,
        }

    async def check_settings(self, request: Request) -> Answer:
        """Whether a text could be the settings file: all of its tables mean one linked device."""
        self._agent.parts.settings_file.check(arguments.text(request.args, "text"))
        return {"good": True}

    async def take_over_settings(self, _request: Request) -> Answer:
        """Read the settings file again."""
        change = await self._agent.take_over_settings()
        return {"taken_over": list(change.taken_over), "needs_restart": list(change.needs_restart)}

    async def events(self, request: Request) -> Answer:
        """Everything that happens, until the client goes."""
        queue: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
        cancel = self._agent.subscribe(lambda name, fields: queue.put_nowait((name, dict(fields))))
        try:
            while True:
                name, fields = await queue.get()
                await request.event(name, **fields)
        finally:
            cancel()
