# SPDX-License-Identifier: Apache-2.0
"""A handoff that its user gives up: take back what can be taken back, and say what became of it. Layer: agent.

Specification: docs/specs/handoff-v2.md §8.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

from p2p_handoff.agent.report import Report
from p2p_handoff.errors import CancelledError, HandoffError

_T = TypeVar("_T")

CANCEL_FOR: Final = 5.0
"""Seconds to wait for the other device's word after a cancel, before it is said how things stand without it."""


class GivenUpError(asyncio.CancelledError):
    """The caller was cancelled, and with it the handoff.

    Args:
        report: What became of the handoff.
    """

    def __init__(self, report: Report) -> None:
        super().__init__("the handoff was given up")
        self.report = report


class Handoff(Protocol):
    """One side of a handoff under way."""

    def cancel(self, text: str) -> None:
        """Give up as far as that is possible; a report follows."""

    def standing(self) -> Report:
        """How it stands now, as a report."""


async def end_of(handoff: Handoff, report: asyncio.Future[Report]) -> Report:
    """The report of a handoff. A caller who is cancelled meanwhile cancels the handoff with it.

    Args:
        handoff: What runs.
        report: Where its report will be.

    Raises:
        HandoffError: It could not be begun or went wrong.
        GivenUpError: The caller was cancelled; tells what became of the handoff.
    """
    try:
        return await asyncio.shield(report)
    except asyncio.CancelledError:
        handoff.cancel("cancelled by the user")
        await asyncio.wait((report,), timeout=CANCEL_FOR)
        with contextlib.suppress(HandoffError):
            if report.done():
                raise GivenUpError(report.result()) from None
        raise GivenUpError(handoff.standing()) from None


async def unless_given_up(given_up: asyncio.Event, work: Awaitable[_T]) -> _T:
    """Wait for something as long as it takes, but not longer than the user: a thread that hangs is left alone.

    Args:
        given_up: Set when the user gives the handoff up.
        work: What is waited for.

    Raises:
        CancelledError: The user gave the handoff up.
    """
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(given_up.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        waiting.cancel()
        working.cancel()
    raise CancelledError("the handoff was cancelled")
