# SPDX-License-Identifier: Apache-2.0
"""The ways that may lead to a device, tried side by side, the better ones with a head start. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. Reaching a relay costs the other device nothing, so that an address where
nobody answers any more delays no other way: offers are made one after the other, on what was reached.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from p2p_handoff.errors import HandoffError, TimedOutError
from signaling.port import RelayPort

HEAD_START: Final = 0.3
"""Seconds that a step of the ladder waits for the steps before it: a relay on the same network is reached in less."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One way.

    Args:
        url: Of a relay that is visited; empty for a shared relay that is connected anyway.
        step: 0 for the best ones; those of one step begin together.
        visit: Entering it reaches the relay; leaving it leaves.
    """

    url: str
    step: int
    visit: contextlib.AbstractAsyncContextManager[RelayPort]


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of one way."""

    url: str
    port: RelayPort | None
    error: Exception | None = None


class Climb:
    """One attempt over all rungs; iterate once, then ``leave``.

    Args:
        rungs: The ways, in the order of their steps.
        patience: Seconds until a relay must be reached; None leaves that to each way.
    """

    def __init__(self, rungs: Iterable[Rung], patience: float | None = None) -> None:
        self._patience = patience
        self._found: asyncio.Queue[Reached] = asyncio.Queue()
        self._left = asyncio.Event()
        ladder = list(rungs)
        self._unreached = {step: sum(rung.step == step for rung in ladder) for step in {rung.step for rung in ladder}}
        self._failed = {step: asyncio.Event() for step in self._unreached}
        self._connecting: set[asyncio.Task[None]] = set()
        self._tasks = [asyncio.create_task(self._hold(rung), name=f"reach {rung.url}") for rung in ladder]
        self._connecting.update(self._tasks)

    async def __aiter__(self) -> AsyncIterator[Reached]:
        """What became of each way, in the order in which it was known."""
        for _ in self._tasks:
            yield await self._found.get()

    async def leave(self) -> None:
        """Leave what was reached and give up what was not."""
        self._left.set()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hold(self, rung: Rung) -> None:
        me = asyncio.current_task()
        assert me is not None
        await self._await_turn(rung.step)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._patience):
                    port = await stack.enter_async_context(rung.visit)
            except TimeoutError:
                self._fail(rung, TimedOutError("it does not answer"))
            except HandoffError as error:
                self._fail(rung, error)
            except Exception as error:  # noqa: BLE001 - raised where the ways are tried
                self._fail(rung, error)
            else:
                self._connecting.discard(me)
                self._found.put_nowait(Reached(rung.url, port))
                await self._left.wait()

    async def _await_turn(self, step: int) -> None:
        for earlier in sorted(number for number in self._failed if number < step):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEAD_START):
                    await self._failed[earlier].wait()

    def _fail(self, rung: Rung, error: Exception) -> None:
        self._unreached[rung.step] -= 1
        if not self._unreached[rung.step]:
            self._failed[rung.step].set()
        self._found.put_nowait(Reached(rung.url, None, error))
