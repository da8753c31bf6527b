# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from p2p_handoff.control import request as request_module
from p2p_handoff.control.request import Request
from p2p_handoff.control.schema import decode, encode, request_line
from p2p_handoff.errors import RemoteProtocolError, UsageError
from tests.control.conftest import Serve

Call = Callable[..., Awaitable[dict[str, Any]]]


async def choose(request: Request) -> Mapping[str, object]:
    return {"chosen": await request.ask("Accept it?", ["yes", "no"], request.args.get("default"))}


async def test_events_arrive_in_order_before_the_result(serve: Serve, call: Call) -> None:
    async def work(request: Request) -> Mapping[str, object]:
        for number in range(3):
            await request.event("progress", bytes=number)
        return {"outcome": "done"}

    await serve({"to": work})
    seen: list[tuple[str, dict[str, Any]]] = []
    result = await call("to", on_event=lambda name, fields: seen.append((name, fields)))
    assert seen == [("progress", {"bytes": number}) for number in range(3)]
    assert result == {"outcome": "done"}


async def test_a_question_is_answered_on_the_same_connection(serve: Serve, call: Call) -> None:
    await serve({"link": choose})
    asked: list[object] = []

    def answer(*question: object) -> str:
        asked.append(question)
        return "yes"

    assert await call("link", on_ask=answer) == {"chosen": "yes"}
    assert asked == [("choose", "Accept it?", ["yes", "no"])]


async def test_nobody_to_ask_takes_the_default(serve: Serve, call: Call) -> None:
    await serve({"link": choose})
    assert await call("link", {"default": "no"}) == {"chosen": "no"}


async def test_nobody_to_ask_and_no_default_is_a_usage_error_with_the_choices(serve: Serve, call: Call) -> None:
    await serve({"link": choose})
    with pytest.raises(UsageError) as caught:
        await call("link")
    assert "yes or no" in caught.value.advice


async def test_an_answer_that_is_no_choice_is_refused(serve: Serve, call: Call) -> None:
    await serve({"link": choose})
    with pytest.raises(RemoteProtocolError, match="maybe"):
        await call("link", on_ask=lambda *_: "maybe")


async def test_what_was_said_before_the_question_is_no_answer_to_it(serve: Serve, path: Path) -> None:
    async def late(request: Request) -> Mapping[str, object]:
        while request._answers.empty():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        return await choose(request)

    await serve({"link": late})
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(encode(request_line("link", {}, interactive=True)) + encode({"answer": "yes"}))
    assert decode(await reader.readline())["question"] == "Accept it?"
    writer.write(encode({"answer": "no"}))
    assert decode(await reader.readline()) == {"result": {"chosen": "no"}}
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_does_not_read_loses_events_but_does_not_stop_the_command(
    serve: Serve, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_module, "EVENT_PATIENCE", 0.05)
    reads_again = asyncio.Event()
    finished = asyncio.Event()

    async def chatter(request: Request) -> Mapping[str, object]:
        for _ in range(100):
            await request.event("progress", text="x" * 50_000)
        finished.set()
        await reads_again.wait()
        while request._deaf:
            await asyncio.sleep(0.01)
            await request.event("progress", text="again")
        return {}

    await serve({"to": chatter})
    reader, writer = await asyncio.open_unix_connection(path, limit=100_000)
    writer.write(encode(request_line("to", {}, interactive=False)))
    await asyncio.wait_for(finished.wait(), 5)
    reads_again.set()
    lines = [decode(line) async for line in reader]
    received = sum(line.get("event") == "progress" and line["text"] != "again" for line in lines)
    (dropped,) = [line["count"] for line in lines if line.get("event") == "dropped"]
    assert received < 100
    assert received + dropped >= 100
    assert lines[-1] == {"result": {}}
    writer.close()
    await writer.wait_closed()


class _SlowWriter:
    """A writer that is drained when the test says so."""

    def __init__(self) -> None:
        self.drained = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        pass

    async def drain(self) -> None:
        await self.drained


@pytest.mark.parametrize("ticks", range(4))
async def test_regression_a_cancellation_is_heard_at_whatever_moment_a_drain_ends(ticks: int) -> None:
    writer = _SlowWriter()
    request = Request("to", {}, interactive=False, writer=cast("asyncio.StreamWriter", writer), answers=asyncio.Queue())
    telling = asyncio.create_task(request.event("released"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    writer.drained.set_result(None)
    for _ in range(ticks):
        await asyncio.sleep(0)
    if telling.cancel():
        with pytest.raises(asyncio.CancelledError):
            await telling
