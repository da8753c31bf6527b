# SPDX-License-Identifier: Apache-2.0
"""What happens in an agent, told to whoever listens. Layer: agent. Specification: docs/specs/control.md.

Events are plain names and JSON-ready fields, so that the command line, scripts and the Python faces hear the
same thing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from p2p_handoff.errors import HandoffError

log = logging.getLogger(__name__)

Listener = Callable[[str, Mapping[str, Any]], "Awaitable[None] | None"]
OnBegun = Callable[[str], None]
"""Called with the id by which the events of a handoff name it: its txn, or its session."""


def unheard(_identity: str) -> None:
    """For whoever does not care which handoff it is."""


class Events:
    """A bus: listeners are called in order on the event loop; a failing listener is logged and skipped."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._running: set[asyncio.Future[None]] = set()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener (a callable or a coroutine function); returns a function that removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def emit(self, event: str, /, **fields: Any) -> None:
        """Tell all listeners of an event."""
        for listener in tuple(self._listeners):
            try:
                answer = listener(event, fields)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one hears
                _log(event, error)
                continue
            if inspect.isawaitable(answer):
                self._run(event, answer)

    def _run(self, name: str, answer: Awaitable[None]) -> None:
        future = asyncio.ensure_future(answer)
        self._running.add(future)
        future.add_done_callback(lambda done: self._finished(name, done))

    def _finished(self, name: str, done: asyncio.Future[None]) -> None:
        self._running.discard(done)
        if not done.cancelled() and (error := done.exception()):
            _log(name, error)


def _log(name: str, error: BaseException) -> None:
    """An error that was foreseen, such as a failed disk, is a sentence; only a defect shows where it happened."""
    if isinstance(error, HandoffError):
        log.warning("a listener of %s could not act: %s", name, error)
    else:
        log.error("a listener of %s failed", name, exc_info=error)
