# SPDX-License-Identifier: Apache-2.0
"""The agent's events while a command runs, passed on to the client that gave it. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from typing import Any, Final

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.giving_up import GivenUpError
from p2p_handoff.agent.report import Report, stopped
from p2p_handoff.control.request import Answer, Request
from p2p_handoff.protocol.outcome import Result

OF_A_CODE: Final = frozenset({"link-disturbed"})
"""What the client of a command is told while its code is open or in use."""
_OF_A_HANDOFF: Final = frozenset(
    (
        "asking",
        "connected",
        "frozen",
        "incoming",
        "not-in-place",
        "offered",
        "outgoing",
        "progress",
        "released",
        "request",
        "secrets",
        "silent",
    )
)


@contextlib.asynccontextmanager
async def passing_on(agent: Agent, request: Request, names: Collection[str]) -> AsyncIterator[None]:
    """Pass on the events of some names while the block lasts."""
    queue: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
    cancel = agent.subscribe(lambda name, fields: queue.put_nowait((name, dict(fields))) if name in names else None)
    forwarding = asyncio.create_task(_forward(request, queue))
    try:
        yield
    finally:
        cancel()
        forwarding.cancel()
        await asyncio.gather(forwarding, return_exceptions=True)


async def with_progress(agent: Agent, request: Request, work: Awaitable[Report]) -> Answer:
    """Pass on the events of one handoff while it runs; its report is the answer, or the error it stands for."""
    try:
        async with passing_on(agent, request, _OF_A_HANDOFF):
            report = await work
            await asyncio.sleep(0)
    except GivenUpError as given_up:
        report = given_up.report
        if request.stopping and report.outcome == Result.CANCELLED.value:
            raise stopped(report.error.state if report.error is not None else "") from None
        if not (request.stopping or request.given_up):
            raise
    return report.as_json()


async def _forward(request: Request, queue: asyncio.Queue[tuple[str, Mapping[str, Any]]]) -> None:
    while True:
        name, fields = await queue.get()
        await request.event(name, **fields)
