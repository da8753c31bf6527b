# SPDX-License-Identifier: Apache-2.0
"""Listeners are callables or coroutines; one that fails disturbs nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from p2p_handoff.agent.events import Events, Listener
from p2p_handoff.errors import StorageError


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


async def test_regression_a_listener_that_meets_a_failed_disk_says_so_in_one_sentence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After an I/O error of the database every listener that looks into it fails; the log showed a traceback."""
    events = Events()

    def fail(_name: str, _fields: Mapping[str, Any]) -> None:
        raise StorageError("the disk failed under the data directory")

    async def fail_later(_name: str, _fields: Mapping[str, Any]) -> None:
        raise StorageError("the disk failed under the data directory")

    events.subscribe(fail)
    events.subscribe(fail_later)
    events.emit("a")
    await asyncio.sleep(0.01)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert all(record.exc_info is None and "the disk failed" in record.getMessage() for record in caplog.records)
