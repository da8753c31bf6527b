# SPDX-License-Identifier: Apache-2.0
"""HandoffV2: one source, one target, one session, as a few calls. Layer: agent. Specification: docs/python.md.

A thin face over an agent, the same class on both sides:

    source: await init(…) → await request_handoff()
    target: await init(…) → on("requestHandoff", …) → await accept_data(on_data) or reject(reason)

The agent does everything else, and does it without this class too: a device of the same owner is accepted without
asking, so ``requestHandoff`` is for devices of other people.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.face import FaceEvents, PayloadHandler, client
from p2p_handoff.agent.payloads import (
    HandoffEnded,
    ReceivedData,
    ended,
    progress,
    raise_unless_done,
    received_parts,
)
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import IncomingRequest, Wish
from p2p_handoff.errors import HandoffError, NotFoundError, UsageError
from p2p_handoff.ids import DeviceId, TxnId
from p2p_handoff.session.guard import NOTHING, Letting

DataHandler = Callable[[ReceivedData], "Awaitable[Any] | Any"]

EVENTS: Final = frozenset(("requestHandoff", "data", "progress", "completed", "failed"))
"""requestHandoff: IncomingRequest · data: ReceivedData · progress: Progress · completed, failed: HandoffEnded."""
_KEPT_ARRIVALS: Final = 64
"""Arrivals kept for a later ``accept_data``: of a target that only listens to ``data`` the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What ``init`` was told."""

    source: DeviceId
    target: DeviceId
    session: str | None
    """On the source an id; on the target whatever the person typed."""


class HandoffV2:
    """Hands one session from one device to another; call ``init`` first.

    Args:
        agent: A running agent, the source's or the target's.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._events = FaceEvents(EVENTS)
        self._route: _Route | None = None
        self._stop: Callable[[], None] = lambda: None
        self._reports: dict[TxnId, asyncio.Future[Report] | None] = {}
        self._arrived: deque[ReceivedData | HandoffError] = deque(maxlen=_KEPT_ARRIVALS)
        self._waiting = 0
        self._changed = asyncio.Event()

    async def init(self, *, source_client_id: str, target_client_id: str, session: str | Path | None = None) -> None:
        """Say who hands what to whom; from now on events come. May be called again to say it anew.

        Args:
            source_client_id: Name, id or prefix of an id of the device that has the session.
            target_client_id: The same of the device that gets it. One of the two is this device.
            session: Title, id or path. On the source None means the only session, on the target any.

        Raises:
            NotFoundError, AmbiguousError: A client or the session is not clear.
            UsageError: This device is neither, or both.
        """
        agent = self._agent
        source, target = client(agent, source_client_id), client(agent, target_client_id)
        if source == target:
            raise UsageError("source and target are the same device")
        if agent.device not in (source, target):
            raise UsageError("this device is neither the source nor the target", advice="use the agent of one of them")
        wish = None if session is None else str(session)
        if source == agent.device:
            wish = (await agent.parts.registering.meant(session)).id
        self.close()
        self._route = _Route(source, target, wish)
        self._stop = agent.subscribe(self._agent_event)

    def close(self) -> None:
        """Listen no more; the agent goes on."""
        self._stop()
        self._stop = lambda: None
        self._route = None
        self._arrived.clear()
        self._reports.clear()

    def on(self, name: str, handler: PayloadHandler) -> Callable[[], None]:
        """Call ``handler``, a callable or a coroutine function, with the payload of every event of a name.

        Args:
            name: One of EVENTS.
            handler: Gets the payload that EVENTS tells.

        Returns:
            A function that stops it.

        Raises:
            UsageError: No such event.
        """
        return self._events.on(name, handler)

    async def request_handoff(
        self, *, only: Sequence[str] = (), max_pause: float | None = None, letting: Letting = NOTHING
    ) -> Report:
        """Hand the session over and wait until the target has it. On the target: ask the source for it.

        Args:
            only: Part types to hand over; empty means all.
            max_pause: Seconds the session may be frozen; None for the setting. Chosen by the source.
            letting: The secrets that may go to somebody else's device. Chosen by the source.

        Returns:
            How it went.

        Raises:
            UsageError: This device is the target, and names secrets that may leave.
            RejectedError: The other side said no; ``reason`` says why.
            HandoffError: It did not complete; the state of the session is in the sentence.
        """
        route = self._begun()
        if route.source == self._agent.device:
            return raise_unless_done(
                await self._agent.to(route.target, route.session, only=only, max_pause=max_pause, letting=letting),
            )
        if letting != NOTHING:
            raise UsageError("which secrets leave is the source's to say", advice="leave 'letting' away on the target")
        if route.session is None:
            raise UsageError("a target that asks for a session must name it", advice="give init a session")
        return raise_unless_done(await self._agent.take(route.session, peer=route.source, only=only))

    def pending(self) -> list[IncomingRequest]:
        """Requests of the source that wait for an answer, oldest first."""
        route = self._begun()
        return [request for request in self._agent.pending() if _fits(route, request)]

    async def accept_data(
        self, on_data: DataHandler | None = None, *, only: Sequence[str] = (), into: Path | None = None
    ) -> ReceivedData:
        """Accept what is pending or comes next, and wait until it has arrived.

        What arrived since ``init`` without having been fetched by this method comes first.

        Args:
            on_data: Called (and awaited) with what arrived.
            only: Part types to take; empty means all.
            into: Directory for parts that are new here; None for the configured one.

        Returns:
            What arrived.

        Raises:
            HandoffError: It did not arrive.
        """
        route = self._begun()
        if route.target != self._agent.device:
            raise UsageError("data arrives on the target, and this device is the source")
        data = await self._next_arrival(only, into)
        if on_data is not None:
            answer = on_data(data)
            if inspect.isawaitable(answer):
                await answer
        return data

    def reject(self, reason: str = "", *, token: str | None = None) -> IncomingRequest:
        """Say no to a pending request.

        Args:
            reason: For the person on the other side.
            token: Which one; None for the only one.

        Raises:
            NotFoundError, AmbiguousError: Which request is not clear.
        """
        if token is None:
            waiting = self.pending()
            if not waiting:
                raise NotFoundError("no request of the source is pending")
            token = waiting[0].token if len(waiting) == 1 else None
        return self._agent.reject(token, reason=reason)

    # --- inside -------------------------------------------------------------------------------------

    def _begun(self) -> _Route:
        if self._route is None:
            raise UsageError("the handoff has no source and target yet", advice="call init first")
        return self._route

    async def _next_arrival(self, only: Sequence[str], into: Path | None) -> ReceivedData:
        self._waiting += 1
        try:
            while not self._arrived:
                self._changed.clear()
                for request in self.pending():
                    self._agent.accept(request.token, only=only, into=into)
                await self._changed.wait()
        finally:
            self._waiting -= 1
        item = self._arrived.popleft()
        if isinstance(item, HandoffError):
            raise item
        return item

    def _agent_event(self, name: str, fields: Mapping[str, Any]) -> None:
        handle = self._HANDLERS.get(name)
        if handle is not None and self._route is not None:
            handle(self, self._route, fields)

    def _request(self, route: _Route, fields: Mapping[str, Any]) -> None:
        request = self._agent.requests.find(fields["token"])
        if _fits(route, request):
            self._events.emit("requestHandoff", request)
            self._changed.set()

    def _incoming(self, route: _Route, fields: Mapping[str, Any]) -> None:
        if fields["peer"] == route.source:
            incoming = self._agent.handoffs.incoming(fields["txn"])
            self._reports[fields["txn"]] = incoming.report if incoming is not None else None

    def _outgoing(self, route: _Route, fields: Mapping[str, Any]) -> None:
        if fields["peer"] == route.target and fields["session"] == route.session:
            self._reports[fields["txn"]] = None

    def _progress(self, _route: _Route, fields: Mapping[str, Any]) -> None:
        if fields["txn"] in self._reports:
            self._events.emit("progress", progress(fields))

    def _ended(self, route: _Route, fields: Mapping[str, Any]) -> None:
        if fields["txn"] not in self._reports:
            return
        report = self._reports.pop(fields["txn"])
        end = ended(fields)
        if report is not None:
            self._ended_here(route, end, report.result())
        self._events.emit("completed" if end.outcome == "done" else "failed", end)

    def _ended_here(self, route: _Route, end: HandoffEnded, report: Report) -> None:
        if report.error is not None:
            # Only a caller who waits wants to hear of it: an earlier failure is no answer to a later call.
            if self._waiting and end.outcome != "rejected":
                self._fetchable(report.error)
            return
        record = self._agent.store.sessions.get(end.session)
        data = ReceivedData(
            txn=end.txn,
            session=end.session,
            title=report.title,
            source=route.source,
            peer=end.peer,
            epoch=record.ownership.epoch if record else report.epoch,
            parts=received_parts(self._agent.catalog.bindings(end.session)),
            conflicts=tuple(Path(path) for path in report.conflicts),
        )
        self._events.emit("data", data)
        self._fetchable(data)

    def _fetchable(self, item: ReceivedData | HandoffError) -> None:
        self._arrived.append(item)
        self._changed.set()

    _HANDLERS: ClassVar[dict[str, Callable[[HandoffV2, _Route, Mapping[str, Any]], None]]] = {
        "request": _request,
        "incoming": _incoming,
        "outgoing": _outgoing,
        "progress": _progress,
        "handoff": _ended,
        "handoff-failed": _ended,
    }


def _fits(route: _Route, request: IncomingRequest) -> bool:
    if request.device != route.source or request.wish is not Wish.PUSH:
        return False
    wish = route.session
    return wish is None or request.session.startswith(wish.lower()) or request.title.casefold() == wish.casefold()
