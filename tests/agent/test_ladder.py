# SPDX-License-Identifier: Apache-2.0
"""agent.ladder: no way delays another, better ways have a head start, and all are left in the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

from p2p_handoff.agent.ladder import Climb, Rung
from p2p_handoff.errors import TimedOutError, UnreachableError
from signaling.port import RelayPort


class Ways:
    """Relays that answer, refuse or keep silent; who entered and left which."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.left: list[str] = []

    @contextlib.asynccontextmanager
    async def good(self, name: str) -> AsyncIterator[RelayPort]:
        self.entered.append(name)
        try:
            yield cast("RelayPort", name)
        finally:
            self.left.append(name)

    @contextlib.asynccontextmanager
    async def closed(self, name: str) -> AsyncIterator[RelayPort]:
        self.entered.append(name)
        if name in self.entered:
            raise UnreachableError(f"{name} refuses")
        yield cast("RelayPort", name)

    @contextlib.asynccontextmanager
    async def silent(self, name: str) -> AsyncIterator[RelayPort]:
        self.entered.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            self.left.append(name)
        yield cast("RelayPort", name)


async def names(climb: Climb, count: int) -> list[str]:
    """What was known of the first ways."""
    known: list[str] = []
    async for reached in climb:
        known.append(reached.url)
        if len(known) == count:
            break
    return known


async def test_a_silent_way_delays_no_other_and_is_given_up_at_the_end() -> None:
    ways = Ways()
    climb = Climb([Rung("silent", 0, ways.silent("silent")), Rung("good", 0, ways.good("good"))])
    assert await names(climb, 1) == ["good"]
    assert ways.left == []
    await climb.leave()
    assert sorted(ways.left) == ["good", "silent"]


async def test_a_silent_way_delays_the_next_step_by_its_head_start_only() -> None:
    ways = Ways()
    climb = Climb([Rung("silent", 0, ways.silent("silent")), Rung("shared", 1, ways.good("shared"))])
    assert await names(climb, 1) == ["shared"]
    await climb.leave()


async def test_a_later_step_is_left_alone_where_an_earlier_one_leads() -> None:
    ways = Ways()
    climb = Climb([Rung("good", 0, ways.good("good")), Rung("hand", 2, ways.good("hand"))])
    assert await names(climb, 1) == ["good"]
    await climb.leave()
    assert ways.entered == ["good"]


async def test_the_next_step_begins_when_all_of_the_step_before_has_failed() -> None:
    ways = Ways()
    rungs = [Rung("a", 0, ways.closed("a")), Rung("b", 0, ways.closed("b")), Rung("c", 1, ways.good("c"))]
    climb = Climb(rungs)
    assert await names(climb, 3) == ["a", "b", "c"]
    assert ways.entered == ["a", "b", "c"]
    await climb.leave()


async def test_with_patience_a_silent_way_fails() -> None:
    ways = Ways()
    climb = Climb([Rung("silent", 0, ways.silent("silent"))], patience=0.01)
    async for reached in climb:
        assert reached.port is None
        assert isinstance(reached.error, TimedOutError)
    await climb.leave()


async def test_a_ladder_without_rungs_leads_nowhere() -> None:
    climb = Climb([])
    assert await names(climb, 1) == []
    await climb.leave()
