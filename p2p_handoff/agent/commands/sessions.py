# SPDX-License-Identifier: Apache-2.0
"""Commands about the sessions of this device. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import arguments
from p2p_handoff.agent.requests import part_as_json
from p2p_handoff.agent.telling import fork_as_json
from p2p_handoff.content.digests import digest
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.session.manifest import decode_manifest
from p2p_handoff.store.records import SessionRecord


class SessionCommands:
    """What is registered here as a session."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def start(self, request: Request) -> Answer:
        """Register paths as a session."""
        record = await self._agent.start(
            arguments.texts(request.args, "paths"), arguments.optional_text(request.args, "title")
        )
        return {"session": record.id, "title": record.title, "parts": _parts(record)}

    async def stop_session(self, request: Request) -> Answer:
        """Take a session off the list."""
        text, here = arguments.wish(request.args)
        record = self._agent.stop_session(text, here=here)
        return {"session": record.id, "title": record.title}

    async def sessions(self, _request: Request) -> Answer:
        """Sessions on this device."""
        return {"sessions": [await session_as_json(self._agent, record) for record in self._agent.sessions()]}


def session_meant(agent: Agent, args: Mapping[str, Any]) -> SessionRecord:
    """The session that a command's arguments mean.

    Raises:
        NotFoundError, AmbiguousError: Which session is not clear.
    """
    text, here = arguments.wish(args)
    return agent.session(text, here=here)


async def session_as_json(agent: Agent, record: SessionRecord) -> dict[str, Any]:
    """The stable keys of one session in ``handoff sessions``."""
    bindings = agent.catalog.bindings(record.id)
    own = record.ownership
    return {
        "session": record.id,
        "title": record.title,
        "role": own.role.value,
        "epoch": own.epoch,
        "primary": agent.name_of(own.primary),
        "paths": [str(binding.path) for binding in bindings if binding.path is not None],
        "root": _root_hex(record),
        "parts": _parts(record),
        "fork": fork_as_json(agent.store, record),
        "edited_here": (await agent.parts.contributions.of(record)).as_json(),
        "not_in_place": agent.parts.unplaced.of(record.id),
    }


def _root_hex(record: SessionRecord) -> str:
    return digest(record.manifest).hex() if record.manifest else ""


def _parts(record: SessionRecord) -> list[dict[str, Any]]:
    if record.manifest is None:
        return []
    return [part_as_json(part) for part in decode_manifest(record.manifest).parts]
