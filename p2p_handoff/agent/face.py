# SPDX-License-Identifier: Apache-2.0
"""What the Python faces share: who a client id means, and named events with a typed payload. Layer: agent.

Specification: docs/python.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.events import Events
from p2p_handoff.errors import AmbiguousError, NotFoundError, UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.store.records import SessionRecord

PayloadHandler = Callable[[Any], "Awaitable[Any] | Any"]
"""A callable or a coroutine function that takes an event's payload; what it returns is only awaited."""


class FaceEvents:
    """Events of one face.

    Args:
        names: The events that it knows.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._events = Events()

    def on(self, name: str, handler: PayloadHandler) -> Callable[[], None]:
        """Call ``handler`` with the payload of every event of a name.

        Returns:
            A function that stops it.

        Raises:
            UsageError: No such event.
        """
        if name not in self._names:
            raise UsageError(f"there is no event {name!r}", advice=f"events are {', '.join(sorted(self._names))}")
        return self._events.subscribe(lambda event, fields: handler(fields["payload"]) if event == name else None)

    def emit(self, name: str, payload: object) -> None:
        """Tell the handlers of an event; one that fails is logged and skipped."""
        self._events.emit(name, payload=payload)


def client(agent: Agent, text: str) -> DeviceId:
    """The device that a client id means: this one or a linked one, by id, prefix of an id, or name.

    Raises:
        NotFoundError: None fits.
        AmbiguousError: Several fit.
    """
    me = agent.name.casefold() == text.casefold() or (bool(text) and agent.device.startswith(text.lower()))
    try:
        linked = agent.peer_book.linked(text).device
    except NotFoundError:
        if me:
            return agent.device
        raise
    if me:
        raise AmbiguousError(f"{text!r} fits this device and a linked one", advice="give more of the id")
    return linked


def session_record(agent: Agent, wish: str | None) -> SessionRecord:
    """The session that a title, an id or a path means; None means the only one that is running.

    Raises:
        NotFoundError, AmbiguousError: Which session is not clear.
    """
    return agent.session(wish)
