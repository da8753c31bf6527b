# SPDX-License-Identifier: Apache-2.0
"""Incoming requests that wait for a person. Layer: agent. Specification: docs/specs/handoff-v2.md §5."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent.events import Events
from p2p_handoff.agent.report import LISTED_BYTES, first_that_fit
from p2p_handoff.errors import AmbiguousError, NotFoundError
from p2p_handoff.ids import DeviceId, Entropy, PartId, SessionId, Token, TxnId, new_token
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.session.guard import is_shown
from p2p_handoff.session.manifest import Part


@dataclass(frozen=True, slots=True)
class Consent:
    """A person's yes."""

    types: frozenset[str] = frozenset()
    """Part types taken; empty means all that are offered."""
    into: Path | None = None
    """Directory for parts that are new here; None means what the settings say."""
    without: frozenset[PartId] = frozenset()
    """Parts that the settings refuse, whatever their type."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A person's no."""

    reason: RejectReason = RejectReason.DECLINED
    text: str = ""


Answer = Consent | Refusal


class Wish(Enum):
    """What the other device wants."""

    PUSH = "push"
    """To hand a session to this one."""
    TAKE = "take"
    """To fetch a session from this one."""


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """What another device wants, as a person sees it."""

    token: Token
    device: DeviceId
    peer: str
    """Display name of the source."""
    session: SessionId
    title: str
    parts: tuple[Part, ...]
    expires_at: float
    """On the event loop's clock."""
    txn: TxnId
    withheld: tuple[Part, ...] = ()
    """Parts of the session that the source keeps."""
    wish: Wish = Wish.PUSH
    secrets: Callable[[], list[dict[str, Any]]] = list
    """Called for what the session lists as secrets, with the keys of reports: too much to be kept while it waits."""

    def as_json(self, now: float) -> dict[str, Any]:
        """The stable keys of ``handoff requests``."""
        secrets, more = first_that_fit(self.secrets(), LISTED_BYTES)
        return {
            "token": self.token,
            "wish": self.wish.value,
            "from": self.peer,
            "device": self.device,
            "session": self.session,
            "title": self.title,
            "parts": [part_as_json(part) for part in self.parts],
            "withheld": [part_as_json(part) for part in self.withheld],
            "secrets": secrets,
            "more_secrets": more,
            "expires_in": max(0, round(self.expires_at - now)),
        }


_EVENTS: Final = {Wish.PUSH: "request", Wish.TAKE: "take-request"}


def part_as_json(part: Part) -> dict[str, Any]:
    """A part as offers list it; of one that is not offered there is no size."""
    return {
        "id": part.id,
        "type": part.type.value,
        "name": part.name,
        "bytes": part.total_bytes if is_shown(part) else None,
        "items": part.items if is_shown(part) else None,
    }


class RequestBook:
    """All pending requests of one agent."""

    def __init__(self, events: Events, entropy: Entropy) -> None:
        self._events = events
        self._entropy = entropy
        self._pending: dict[Token, tuple[IncomingRequest, asyncio.Future[Answer]]] = {}

    def new_token(self) -> Token:
        """A token that no pending request has."""
        while (token := new_token(self._entropy)) in self._pending:
            continue
        return token

    async def ask(self, request: IncomingRequest) -> Answer:
        """Wait for a person's answer, until the request expires."""
        loop = asyncio.get_running_loop()
        with self._listed(request) as answer:
            self._events.emit(_EVENTS[request.wish], **request.as_json(loop.time()))
            try:
                async with asyncio.timeout_at(request.expires_at):
                    return await answer
            except TimeoutError:
                return Refusal(RejectReason.EXPIRED, "nobody answered in time")

    def pending(self) -> list[IncomingRequest]:
        """Requests that wait, oldest first."""
        return [request for request, _ in self._pending.values()]

    def find(self, token: str | None) -> IncomingRequest:
        """The pending request with a token or a prefix of one; without a token the only one.

        Raises:
            NotFoundError: No such request, or none at all.
            AmbiguousError: Several fit.
        """
        fitting = [name for name in self._pending if name.startswith((token or "").lower())]
        if not fitting:
            what = f"no pending request has the token {token!r}" if token else "no request is pending"
            raise NotFoundError(what, advice="'handoff requests' lists them" if token else "")
        if len(fitting) > 1:
            raise AmbiguousError("several requests are pending", advice=f"give a token: {', '.join(fitting)}")
        return self._pending[Token(fitting[0])][0]

    def answer(self, token: str | None, answer: Answer) -> IncomingRequest:
        """Answer a request.

        Args:
            token: As for ``find``.
            answer: Yes or no.

        Raises:
            NotFoundError, AmbiguousError: As for ``find``.
        """
        request = self.find(token)
        _, future = self._pending[request.token]
        if not future.done():
            future.set_result(answer)
        return request

    @contextlib.contextmanager
    def _listed(self, request: IncomingRequest) -> Iterator[asyncio.Future[Answer]]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[request.token] = (request, future)
        try:
            yield future
        finally:
            del self._pending[request.token]
            self._events.emit("request-closed", token=request.token)
