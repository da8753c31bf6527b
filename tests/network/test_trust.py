# SPDX-License-Identifier: Apache-2.0
"""What two devices refuse: a wrong code, a second agent on one home, a version that is too old."""

from __future__ import annotations

import re
import sys

import pytest

from tests.network.peer import Devices
from tests.network.trees import project

pytestmark = pytest.mark.network

OLD_AGENT = """
import asyncio, sys
from pathlib import Path
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import handlers
from p2p_handoff.control.server import ControlServer
from p2p_handoff.control.socket_path import socket_path

async def main(home):
    async with Agent(home, "desktop", versions=(1,)) as agent:
        async with ControlServer(socket_path(home), handlers(agent, lambda: None)):
            await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""
"""An agent that speaks an older version of the protocol only."""


def test_a_wrong_code_is_told_on_both_sides_and_burns_the_code(devices: Devices) -> None:
    laptop, desktop = devices.strangers()
    shown = laptop.begin("link", "--own")
    code = str(shown.wait("code")["code"])
    number, *words = code.split("-")
    wrong = "-".join([number, *reversed(words)])
    joined, opened = desktop.run("link", "-", "--own", stdin=wrong), shown.answer()
    assert (joined.exit_code, opened.exit_code) == (6, 6)
    assert "the code does not match" in joined.message
    assert "the code does not match" in opened.message
    again = desktop.run("link", "-", "--own", stdin=code)
    assert again.exit_code == 4
    assert not any(peer["linked"] for peer in desktop.ask("peers")["peers"])


def test_a_second_agent_on_one_home_is_refused(devices: Devices) -> None:
    laptop, _ = devices.strangers()
    second = laptop.run("agent", "run")
    assert second.exit_code == 2
    laptop.ask("whoami")


def test_an_older_protocol_version_is_refused_and_both_are_named(devices: Devices) -> None:
    laptop, desktop = devices.linked()
    folder = project(laptop.user / "work")
    desktop.stop_agent()
    desktop.start_agent(program=(sys.executable, "-c", OLD_AGENT, str(desktop.home)))
    answer = laptop.run("to", "desktop", str(folder))
    assert answer.exit_code == 6
    assert {"1", "2"} <= set(re.findall(r"\d+", answer.message)), answer.message
    assert laptop.session("work")["role"] == "primary"
