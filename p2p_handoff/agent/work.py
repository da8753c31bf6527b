# SPDX-License-Identifier: Apache-2.0
"""Long work beside a handoff's loop: one piece at a time, its threads included. Layer: agent.

Specification: docs/specs/handoff-v2.md §7. A thread cannot be cancelled, so a cancelled piece of work ends when its
thread does; what begins next waits for that, and what an older piece found is void.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

log = logging.getLogger(__name__)

Event = TypeVar("Event")
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Finding(Generic[Event]):
    """What a piece of work found out."""

    work: int
    event: Event


class Work(Generic[Event]):
    """The one thing that is done for a handoff beside its loop.

    Args:
        found: Gets what a piece of work returns; ask ``is_current`` before acting on it.
    """

    def __init__(self, found: Callable[[Finding[Event]], None]) -> None:
        self._found = found
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        """What runs, and what was cancelled and has not ended."""

    def start(
        self, work: Callable[[], Awaitable[Event | None]], name: str, crashed: Callable[[str], Event | None]
    ) -> None:
        """Begin something else; returns at once, and the work begins when nothing older runs any more.

        Args:
            work: Returns an event, or None when there is nothing to tell.
            name: For logs.
            crashed: The event for a defect, given words for it.
        """
        older = self._cancel()
        task = asyncio.create_task(self._run(self._number, older, work, name, crashed), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def is_current(self, finding: Finding[Event]) -> bool:
        """True when nothing else was begun since."""
        return finding.work == self._number

    async def stop(self) -> None:
        """Cancel what runs and wait for its end; nothing that it finds counts any more."""
        for task in self._cancel():
            await _ended(task)

    def _cancel(self) -> tuple[asyncio.Task[None], ...]:
        self._number += 1
        older = tuple(self._tasks)
        for task in older:
            task.cancel()
        return older

    async def _run(
        self,
        number: int,
        older: tuple[asyncio.Task[None], ...],
        work: Callable[[], Awaitable[Event | None]],
        name: str,
        crashed: Callable[[str], Event | None],
    ) -> None:
        for task in older:
            await _ended(task)
        try:
            event = await work()
        except Exception as error:
            log.exception("%s: an unexpected error", name)
            event = crashed(f"an unexpected error ({type(error).__name__})")
        if event is not None:
            self._found(Finding(number, event))


async def in_thread(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a function that blocks. Unlike ``asyncio.to_thread`` a cancelled caller goes on only after its end."""
    thread = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        await _ended(thread)
    except asyncio.CancelledError:
        if not thread.cancelled():
            thread.exception()  # Nobody is left who wants to know.
        raise
    return thread.result()


async def _ended(task: asyncio.Future[_R]) -> None:
    """Wait for the end of a task, also when cancelled meanwhile."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
