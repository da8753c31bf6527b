# SPDX-License-Identifier: Apache-2.0
"""Takes that a person at this device is asked about before anything of the session is told. Layer: agent.

Specification: docs/specs/handoff-v2.md §3 (Take, Asking). The taker hears that a person is asked, so that it waits. A
question ends with its answer, its time, the taker's Cancel or the taker's connection; nothing of it is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.requests import Consent, IncomingRequest, RequestBook, Wish
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import NotFoundError, UnreachableError
from p2p_handoff.ids import PartId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.session.manifest import Part, decode_manifest

ASK_FOR: Final = 300.0
"""Seconds for the person; the taker waits at its device meanwhile."""

GoOn = Callable[[Wire, msg.Take, frozenset[PartId]], Outgoing | None]
"""Hands over what was asked for, without some parts; None where that is refused now, and the taker has heard it."""


@dataclass(slots=True)
class _Question:
    wire: Wire
    take: msg.Take
    without: frozenset[PartId]
    task: asyncio.Task[None] | None = None
    begun: asyncio.Future[Outgoing | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class TakeQuestions:
    """The open questions of one agent, at most one for each device.

    Args:
        services: The agent's parts.
        requests: Where people are asked.
        go_on: Called after a yes.
    """

    def __init__(self, services: Services, requests: RequestBook, go_on: GoOn) -> None:
        self._services = services
        self._requests = requests
        self._go_on = go_on
        self._open: dict[TxnId, _Question] = {}

    @property
    def any_open(self) -> bool:
        """Whether a person is being asked."""
        return bool(self._open)

    def ask(self, wire: Wire, take: msg.Take, without: frozenset[PartId]) -> None:
        """Ask the person about a take that the settings leave to them."""
        if any(question.wire.peer == wire.peer for question in self._open.values()):
            wire.send(msg.Reject(take.txn, RejectReason.BUSY, "a person is being asked about another take already"))
            return
        question = _Question(wire, take, without)
        self._open[take.txn] = question
        wire.send(msg.Asking(take.txn, int(ASK_FOR)))
        question.task = asyncio.create_task(self._ask(question), name=f"take {take.txn[:6]}")

    def withdraw(self, wire: Wire, txn: TxnId) -> None:
        """The taker has given up."""
        question = self._open.get(txn)
        if question is not None and question.wire.peer == wire.peer:
            self._end(question)

    def wire_closed(self, wire: Wire) -> None:
        """A taker that comes back asks again."""
        for question in [item for item in self._open.values() if item.wire is wire]:
            self._end(question)

    async def begun(self, txn: TxnId) -> Outgoing:
        """The handoff that follows a yes.

        Raises:
            NotFoundError: The question is over, or the session cannot be handed over now.
        """
        question = self._open.get(txn)
        outgoing = await asyncio.shield(question.begun) if question is not None else None
        if outgoing is None:
            raise NotFoundError("nothing was handed over: the other device has given up, or the session is busy")
        return outgoing

    async def close(self) -> None:
        """Ask no longer."""
        tasks = [question.task for question in self._open.values() if question.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, question: _Question) -> None:
        if question.task is not None:
            question.task.cancel()

    async def _ask(self, question: _Question) -> None:
        outgoing = None
        try:
            outgoing = await self._answered(question)
        except UnreachableError:
            pass  # It went away while its person's answer came.
        finally:
            self._open.pop(question.take.txn, None)
            if not question.begun.done():
                question.begun.set_result(outgoing)

    async def _answered(self, question: _Question) -> Outgoing | None:
        wire, take = question.wire, question.take
        answer = await self._requests.ask(self._request(question))
        if not isinstance(answer, Consent):
            wire.send(msg.Reject(take.txn, answer.reason, answer.text[:500]))
            return None
        types = _both(frozenset(take.types), answer.types)
        if types is None:
            wire.send(msg.Reject(take.txn, RejectReason.NOTHING_CHOSEN, "no part that was asked for was chosen"))
            return None
        return self._go_on(wire, msg.Take(take.txn, take.session, tuple(sorted(types))), question.without)

    def _request(self, question: _Question) -> IncomingRequest:
        services, take = self._services, question.take
        record = services.store.sessions.get(take.session)
        title = record.title if record is not None else ""
        here = self._parts(record.manifest if record is not None else None)
        offered = tuple(part for part in here if part.id not in question.without)
        return IncomingRequest(
            token=self._requests.new_token(),
            device=question.wire.peer,
            peer=services.peer_name(question.wire.peer),
            session=take.session,
            title=title,
            parts=tuple(part for part in offered if not take.types or part.type.value in take.types),
            expires_at=asyncio.get_running_loop().time() + ASK_FOR,
            txn=take.txn,
            withheld=tuple(part for part in here if part.id in question.without),
            wish=Wish.TAKE,
        )

    def _parts(self, manifest: bytes | None) -> tuple[Part, ...]:
        parts = decode_manifest(manifest).parts if manifest is not None else ()
        return tuple(part for part in parts if part.held_by is None)


def _both(asked: frozenset[str], chosen: frozenset[str]) -> frozenset[str] | None:
    """The types that both name, where an empty set means all; None for no type at all."""
    if not asked or not chosen:
        return asked | chosen
    return asked & chosen or None
