# SPDX-License-Identifier: Apache-2.0
"""What a device may do, in few words. Linking itself is played in test_handoff_commands.py and tests/network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2p_handoff.cli.link_commands import policy_line
from p2p_handoff.errors import LinkCodeError
from p2p_handoff.rendezvous.client import RelayClient
from p2p_handoff.security.words import LinkCode
from tests.cli.conftest import DEADLINE, Device
from tests.signaling.parties import ALICE, BOB

ALL = ["messages", "documents", "context", "files"]


def terms(push: str, take: str, may_leave: list[str]) -> dict[str, Any]:
    return {"push": push, "take": take, "may_leave": may_leave, "into": "/home/anna/Handoff"}


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        ({}, ""),
        ({"folder": terms("ask", "refuse", ALL)}, "push ask, take refuse"),
        (dict.fromkeys(("folder", "conversation"), terms("accept", "accept", ALL)), "push accept, take accept"),
        ({"folder": terms("ask", "ask", ["messages", "files"])}, "push ask, take ask, gets messages, files"),
        ({"folder": terms("refuse", "refuse", [])}, "push refuse, take refuse, gets nothing"),
        (
            {"folder": terms("refuse", "refuse", ALL), "conversation": terms("ask", "refuse", ALL)},
            "folder: push refuse, take refuse; conversation: push ask, take refuse",
        ),
    ],
)
def test_what_a_device_may_do_is_one_line(policy: dict[str, Any], line: str) -> None:
    assert policy_line(policy) == line


async def test_a_command_that_shows_a_code_says_when_somebody_is_turned_away(device: Device) -> None:
    device("whoami")
    port = device("agent", "status", "--json").last["port"]
    with device.start("link", "--json", "--own") as opening:
        assert opening.stdout is not None
        code = LinkCode.parse(json.loads(opening.stdout.readline())["code"])
        url = f"ws://127.0.0.1:{port}/v1"
        async with (
            RelayClient.connect(url, ALICE.key, ALICE.sign) as first,
            RelayClient.connect(url, BOB.key, BOB.sign) as second,
        ):
            room = await first.find_room(code.nameplate)
            await first.join_room(room)
            with pytest.raises(LinkCodeError):
                await second.join_room(room)
            told = json.loads(opening.stdout.readline())
        error = json.loads(opening.stdout.readline())["error"]
        opening.communicate(timeout=DEADLINE)
    assert (told["event"], "was turned away" in told["text"]) == ("link-disturbed", True)
    assert "said nothing" in error["message"]
