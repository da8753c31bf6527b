# SPDX-License-Identifier: Apache-2.0
"""An agent in a terminal shows what happens and asks y/n; the terminal here is a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.foreground import Foreground
from p2p_handoff.agent.requests import Answer, Consent, IncomingRequest, Refusal
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from tests.agent.devices import Devices, until


@asynccontextmanager
async def shown(agent: Agent) -> AsyncIterator[None]:
    """The agent with its foreground."""
    task = asyncio.create_task(Foreground(agent).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def offer(agent: Agent, title: str = "work") -> asyncio.Task[Answer]:
    """A request that waits for the person at the terminal."""
    expires = asyncio.get_running_loop().time() + 10
    device, session, txn = DeviceId("a" * 32), SessionId("b" * 26), TxnId("c" * 26)
    request = IncomingRequest(agent.requests.new_token(), device, "desktop", session, title, (), expires, txn)
    return asyncio.create_task(agent.requests.ask(request))


@pytest.mark.parametrize(
    ("typed", "kind"), [("y\n", Consent), ("YES\n", Consent), ("\n", Refusal), ("what?\n", Refusal)]
)
async def test_only_a_yes_accepts(
    devices: Devices, monkeypatch: pytest.MonkeyPatch, typed: str, kind: type[Answer]
) -> None:
    agent = await devices.start("laptop")
    keyboard, terminal = os.openpty()
    with os.fdopen(terminal) as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        async with shown(agent):
            answered = offer(agent)
            os.write(keyboard, typed.encode())
            assert isinstance(await asyncio.wait_for(answered, 5), kind)
    os.close(keyboard)


async def test_without_a_terminal_it_says_how_to_answer(
    devices: Devices, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    agent = await devices.start("laptop")
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        told = ""

        def tells() -> bool:
            nonlocal told
            told += capsys.readouterr().err
            return "handoff accept" in told

        async with shown(agent):
            waiting = offer(agent, title="\x1b[2Jwork")
            await until(tells)
            agent.reject()
            await waiting
    assert "is ready" in told
    assert "desktop offers" in told
    assert "\x1b" not in told


async def test_a_handoff_is_told_when_it_ends(devices: Devices, capsys: pytest.CaptureFixture[str]) -> None:
    agent = await devices.start("laptop")
    async with shown(agent):
        await asyncio.sleep(0)
        agent.events.emit("handoff", title="work", peer="\x1bdesk", outcome="done", text="")
        agent.events.emit("progress", bytes=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("Handoff of 'work' with ")
    assert "\x1b" not in lines[-1]
