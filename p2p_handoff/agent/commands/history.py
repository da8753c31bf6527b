# SPDX-License-Identifier: Apache-2.0
"""Commands about what was: who owned a session when, and earlier states of it. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands.sessions import session_meant
from p2p_handoff.agent.telling import fork_history, generation_as_json
from p2p_handoff.agent.verifying import verify_history
from p2p_handoff.agent.work import in_thread
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.errors import UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.session import chain as chains
from p2p_handoff.session.signed import SignedStatement, read
from p2p_handoff.session.statements import FIRST_EPOCH, Accepted, Genesis, Grant
from p2p_handoff.store.records import SessionRecord


class HistoryCommands:
    """A session's chain of owners, and its kept states."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def history(self, request: Request) -> Answer:
        """Who was primary when, from the signed chain."""
        # In a thread: to verify or to list 10,000 handoffs takes seconds.
        return await in_thread(self._history, request, session_meant(self._agent, request.args))

    def _history(self, request: Request, record: SessionRecord) -> Answer:
        if request.args.get("verify"):
            verify_history(self._agent.store, record, self._agent.name_of)
        chain = chains.decode_chain(record.chain)
        return {
            "session": record.id,
            "title": record.title,
            "verified": bool(request.args.get("verify")),
            "forks": fork_history(self._agent.store, record.id, self._agent.name_of),
            "generations": [generation_as_json(item) for item in self._agent.store.generations.of(record.id)],
            "history": [self._link_line(index, signed) for index, signed in enumerate(chain)],
        }

    async def undo(self, request: Request) -> Answer:
        """Bring back an earlier state."""
        number = request.args.get("generation")
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise UsageError("the argument 'generation' must be a number")
        undone = await self._agent.undo(session_meant(self._agent, request.args).id, generation=number)
        return undone.as_json()

    def _link_line(self, index: int, signed: SignedStatement) -> dict[str, Any]:
        kind = Genesis if index == 0 else Grant if index % 2 else Accepted
        return {"index": index, "statement": kind.__name__.lower(), **_described(signed, kind, self._agent.name_of)}


def _described(
    signed: SignedStatement, kind: type[Genesis | Grant | Accepted], named: Callable[[DeviceId], str]
) -> dict[str, Any]:
    if kind is Genesis:
        genesis = read(signed, Genesis)
        parent = {"parent": genesis.parent.session} if genesis.parent is not None else {}
        return {"primary": named(genesis.primary), "epoch": FIRST_EPOCH, **parent}
    if kind is Accepted:
        accepted = read(signed, Accepted)
        return {"primary": named(accepted.target), "epoch": accepted.epoch}
    grant = read(signed, Grant)
    return {"from": named(grant.source), "to": named(grant.target), "epoch": grant.epoch}
