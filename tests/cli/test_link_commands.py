# SPDX-License-Identifier: Apache-2.0
"""What a device may do, in few words. Linking itself is played in test_handoff_commands.py and tests/network."""

from __future__ import annotations

from typing import Any

import pytest

from p2p_handoff.cli.link_commands import policy_line

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
