# SPDX-License-Identifier: Apache-2.0
"""Commands about this agent itself: its state, its settings, its end, all that happens in it. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from p2p_handoff.agent import doubts
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import arguments
from p2p_handoff.agent.telling import open_forks
from p2p_handoff.agent.visibility import in_force
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.security.words import key_words
from p2p_handoff.store.records import SessionRecord


class ThisDeviceCommands:
    """What an agent tells and is told of itself."""

    def __init__(self, agent: Agent, stop: Callable[[], None]) -> None:
        self._agent = agent
        self._stop = stop

    async def status(self, _request: Request) -> Answer:
        """The state of this agent."""
        agent = self._agent
        return {
            "device": agent.device,
            "name": agent.name,
            "home": str(agent.home.path),
            "port": agent.port,
            "engine": agent.engine,
            "keys": agent.parts.keys_kept_in.place.value,
            "keys_in": agent.parts.keys_kept_in.words,
            "handoff": agent.settings.handoff,
            "visible": in_force(agent.settings, agent.store.links),
            "discovery": agent.parts.surroundings.problem or "",
            "relays": agent.parts.relay_states(),
            "peers_online": sum(peer.online for peer in agent.discover()),
            "sessions": len(agent.sessions()),
            "requests": len(agent.pending()),
            "active": len(agent.handoffs.active()),
            "receive_dir": str(agent.settings.receive_dir),
            "not_in_place": [
                {"session": record.id, "title": record.title, "text": text}
                for record in agent.sessions()
                if (text := agent.parts.unplaced.of(record.id))
            ],
            "in_doubt": [doubts.doubt_as_json(agent.parts.around, item) for item in doubts.in_doubt(agent.sessions())],
            "lost": doubts.lost_as_json(agent.parts.around, agent.sessions()),
            "old_copy": doubts.old_copy_as_json(agent.parts.around),
            "forks": open_forks(agent.store),
            "edited_here": [item for record in agent.sessions() if (item := await self._edited(record))],
        }

    async def _edited(self, record: SessionRecord) -> dict[str, Any]:
        edits = await self._agent.parts.contributions.of(record)
        return {"session": record.id, "title": record.title, **edits.as_json()} if edits.counts else {}

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
