# SPDX-License-Identifier: Apache-2.0
"""MultiClientSyncHandler: several devices, one primary per session. Layer: agent. Specification: docs/python.md.

A thin face over an agent. ``initiate_handoff`` on the primary makes another device the primary; the events tell what
the agent hears. A device of the same owner is accepted without asking, so ``handoffRequest`` is for devices of other
people; answer it with ``accept_handoff`` or ``reject_handoff`` and its token.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.face import FaceEvents, PayloadHandler, session_record
from p2p_handoff.agent.payloads import PrimaryChanged, ended, raise_unless_done
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import IncomingRequest, Wish
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.session.guard import NOTHING, Letting

EVENTS: Final = frozenset(("handoffRequest", "handoffCompleted", "handoffFailed", "primaryChanged"))
"""handoffRequest: IncomingRequest · handoffCompleted, handoffFailed: HandoffEnded · primaryChanged: PrimaryChanged."""


class MultiClientSyncHandler:
    """Who is primary of the sessions of an agent, and how that changes. Get it with ``instance``.

    Args:
        agent: A running agent.
    """

    # Values are held weakly, and each holds its agent: an id is not reused while its entry lives.
    _instances: ClassVar[weakref.WeakValueDictionary[int, MultiClientSyncHandler]] = weakref.WeakValueDictionary()

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._events = FaceEvents(EVENTS)
        self._primaries = {record.id: record.ownership.primary for record in agent.sessions()}
        agent.subscribe(self._agent_event)

    @classmethod
    def instance(cls, agent: Agent) -> MultiClientSyncHandler:
        """The one handler of an agent."""
        handler = cls._instances.get(id(agent))
        if handler is None:
            handler = cls(agent)
            cls._instances[id(agent)] = handler
        return handler

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

    def role(self, session: str | None = None) -> str:
        """``primary``, ``frozen`` or ``secondary``: what this device is in a session.

        Args:
            session: Title, id or path; None for the only one.

        Raises:
            NotFoundError, AmbiguousError: Which session is not clear.
        """
        return session_record(self._agent, session).ownership.role.value

    def primary(self, session: str | None = None) -> DeviceId:
        """The primary of a session, as far as this device knows.

        Args:
            session: As for ``role``.

        Raises:
            NotFoundError, AmbiguousError: Which session is not clear.
        """
        return session_record(self._agent, session).ownership.primary

    async def initiate_handoff(
        self,
        new_primary_client_id: str,
        *,
        session: str | Path | None = None,
        only: Sequence[str] = (),
        max_pause: float | None = None,
        letting: Letting = NOTHING,
    ) -> Report:
        """Make another device the primary of a session; returns when it is.

        Args:
            new_primary_client_id: Name, id or prefix of an id of a linked device.
            session: Title, id or path; None for the only one.
            only: Part types to hand over; empty means all.
            max_pause: Seconds the session may be frozen; None for the setting.
            letting: The secrets that may go to somebody else's device.

        Returns:
            How it went.

        Raises:
            RejectedError: The other side said no; ``reason`` says why.
            HandoffError: It did not complete; the state of the session is in the sentence.
        """
        peer = new_primary_client_id
        return raise_unless_done(await self._agent.to(peer, session, only=only, max_pause=max_pause, letting=letting))

    def pending(self) -> list[IncomingRequest]:
        """Offers that wait for an answer, oldest first."""
        return [request for request in self._agent.pending() if request.wish is Wish.PUSH]

    def accept_handoff(
        self, token: str | None = None, *, only: Sequence[str] = (), into: Path | None = None
    ) -> asyncio.Task[Report]:
        """Say yes to a request. Await what is returned to wait until it has arrived; that is not needed.

        Args:
            token: From the request; None for the only one.
            only: Part types to take; empty means all.
            into: Directory for parts that are new here; None for the configured one.

        Returns:
            Resolves to how it went, or raises the error that its outcome stands for.

        Raises:
            NotFoundError, AmbiguousError: Which request is not clear.
        """
        request = self._agent.requests.find(token)
        arrival = asyncio.create_task(self._accepted(request, only, into), name=f"accept {request.token}")
        # Whoever does not await it hears of a failure by the event.
        arrival.add_done_callback(lambda done: done.cancelled() or done.exception())
        return arrival

    def reject_handoff(self, token: str | None = None, reason: str = "") -> IncomingRequest:
        """Say no to a request.

        Args:
            token: From the request; None for the only one.
            reason: For the person on the other side.

        Raises:
            NotFoundError, AmbiguousError: Which request is not clear.
        """
        return self._agent.reject(token, reason=reason)

    # --- inside -------------------------------------------------------------------------------------

    async def _accepted(self, request: IncomingRequest, only: Sequence[str], into: Path | None) -> Report:
        return raise_unless_done(await self._agent.accept_and_wait(request.token, only=only, into=into))

    def _agent_event(self, name: str, fields: Mapping[str, Any]) -> None:
        match name:
            case "request":
                self._events.emit("handoffRequest", self._agent.requests.find(fields["token"]))
            case "session-started":
                self._primaries[fields["session"]] = self._agent.device
            case "released" | "owner":
                self._look_at(fields["session"])
            case "handoff" | "handoff-failed":
                self._look_at(fields["session"])
                end = ended(fields)
                self._events.emit("handoffCompleted" if end.outcome == "done" else "handoffFailed", end)

    def _look_at(self, session: SessionId) -> None:
        """Tell when the store knows another primary than the last time."""
        record = self._agent.store.sessions.get(session)
        if record is None:
            return
        own = record.ownership
        before, self._primaries[session] = self._primaries.get(session), own.primary
        if before != own.primary:
            self._events.emit("primaryChanged", PrimaryChanged(session, own.primary, own.epoch))
