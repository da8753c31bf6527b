# SPDX-License-Identifier: Apache-2.0
"""Listeners are callables or coroutines; one that fails disturbs nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from p2p_handoff.agent.events import Events, Listener


async def test_listeners_hear_in_order_until_they_stop() -> None:
    events = Events()
    heard: list[tuple[int, str]] = []

    def listener(who: int) -> Listener:
        return lambda name, _fields: heard.append((who, name))

    stops = [events.subscribe(listener(who)) for who in (1, 2)]
    events.emit("a")
    stops[0]()
    stops[0]()
    events.emit("b")
    assert heard == [(1, "a"), (2, "a"), (2, "b")]


async def test_a_coroutine_is_run() -> None:
    events = Events()
    heard: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
    events.subscribe(lambda _name, fields: heard.put(fields))
    events.emit("a", number=1)
    assert await heard.get() == {"number": 1}


async def test_a_failing_listener_is_logged_and_the_next_one_hears(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    heard: list[str] = []

    def fail(_name: str, _fields: Mapping[str, Any]) -> None:
        raise ValueError("a bug of the caller")

    async def fail_later(_name: str, _fields: Mapping[str, Any]) -> None:
        raise ValueError("another bug of the caller")

    events.subscribe(fail)
    events.subscribe(fail_later)
    events.subscribe(lambda name, _fields: heard.append(name))
    with caplog.at_level(logging.ERROR):
        events.emit("a")
        await asyncio.sleep(0.01)
    assert heard == ["a"]
    assert [record.getMessage() for record in caplog.records] == ["a listener of a failed"] * 2
