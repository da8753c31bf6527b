# SPDX-License-Identifier: Apache-2.0
"""The agent's events while a command runs, passed on to the client that gave it. Layer: agent.

Specification: docs/specs/control.md §5. Every handoff of the agent tells what happens on the same bus: a client hears
of its own alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.giving_up import GivenUpError
from p2p_handoff.agent.report import Report, stopped
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.protocol.outcome import Result

Wanted = Callable[[str, Mapping[str, Any]], bool]
"""Whether a client is told of an event, by its name and fields."""

_OF_A_HANDOFF: Final = frozenset(
    (
        "asking",
        "frozen",
        "incoming",
        "not-in-place",
        "offered",
        "outgoing",
        "progress",
        "released",
        "secrets",
        "silent",
    )
)


@contextlib.asynccontextmanager
async def passing_on(agent: Agent, request: Request, is_wanted: Wanted) -> AsyncIterator[None]:
    """Pass on the events that are wanted while the block lasts."""
    queue: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
    cancel = agent.subscribe(
        lambda name, fields: queue.put_nowait((name, dict(fields))) if is_wanted(name, fields) else None
    )
    forwarding = asyncio.create_task(_forward(request, queue))
    try:
        yield
    finally:
        cancel()
        forwarding.cancel()
        await asyncio.gather(forwarding, return_exceptions=True)


def of_a_code(name: str, _fields: Mapping[str, Any]) -> bool:
    """What the client of a command is told while its code is open or in use."""
    return name == "link-disturbed"


class Progress:
    """What a client hears of its handoff: ``follow`` first, as soon as it is known which one that is.

    Args:
        agent: Runs the handoff.
        request: The command.
    """

    def __init__(self, agent: Agent, request: Request) -> None:
        self._agent = agent
        self._request = request
        self._followed: set[str] = set()

    def follow(self, identity: str) -> None:
        """Pass on what is told of a handoff from now on.

        Args:
            identity: Its txn; or its session, of which a device takes in no more than one handoff at a time.
        """
        self._followed.add(identity)

    async def until_end(self, work: Awaitable[Report]) -> Answer:
        """Pass on events while the handoff runs; its report is the answer.

        Args:
            work: Ends with the report.

        Raises:
            HandoffError: The handoff could not be begun or went wrong, or the agent stops.
            GivenUpError: The client is gone, and the handoff was given up with it.
        """
        try:
            async with passing_on(self._agent, self._request, self._is_followed):
                report = await work
                await asyncio.sleep(0)
        except GivenUpError as given_up:
            report = given_up.report
            if self._request.stopping and report.outcome == Result.CANCELLED.value:
                raise stopped(report.error.state if report.error is not None else "") from None
            if not (self._request.stopping or self._request.given_up):
                raise
        return report.as_json()

    def _is_followed(self, name: str, fields: Mapping[str, Any]) -> bool:
        return name in _OF_A_HANDOFF and not self._followed.isdisjoint((fields.get("txn"), fields.get("session")))


async def _forward(request: Request, queue: asyncio.Queue[tuple[str, Mapping[str, Any]]]) -> None:
    while True:
        name, fields = await queue.get()
        await request.event(name, **fields)
