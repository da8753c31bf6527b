# SPDX-License-Identifier: Apache-2.0
"""What holds, and where it comes from."""

from __future__ import annotations

import json

from p2p_handoff.settings.config import default_name
from p2p_handoff.settings.listing import Shown, listed
from p2p_handoff.settings.reading import read

TEXT = """\
port = 4000
receive_dir = "/srv/in"

[policy.other]
push = "refuse"
[device."my phone".folder]
may_leave = ["files", "messages"]
"""


def by_key(text: str) -> dict[str, Shown]:
    return {item.key: item for item in listed(read(text))}


def test_every_default_is_shown_as_one() -> None:
    shown = by_key("")
    assert shown["name"] == Shown("name", default_name(), None, needs_restart=False)
    assert shown["policy.own.take"].value == "accept"
    assert all(item.as_json()["source"] == "default" for item in shown.values())
    assert json.dumps([item.as_json() for item in shown.values()])


def test_what_the_file_says_has_its_line() -> None:
    shown = by_key(TEXT)
    assert (shown["port"].value, shown["port"].line, shown["port"].needs_restart) == (4000, 1, True)
    assert (shown["policy.other.push"].value, shown["policy.other.push"].line) == ("refuse", 5)
    phone = shown['device."my phone".folder.may_leave']
    assert (phone.value, phone.line, phone.needs_restart) == (["messages", "files"], 7, False)


def test_things_land_in_the_general_directory_by_default() -> None:
    assert by_key(TEXT)["policy.own.into"].value == "/srv/in"


def test_a_table_shows_what_is_in_it() -> None:
    assert [item.key for item in listed(read(TEXT), ("policy", "other"))] == [
        "policy.other.push",
        "policy.other.take",
        "policy.other.may_leave",
        "policy.other.into",
    ]
    assert [item.line for item in listed(read(TEXT), ("device", "my phone"))] == [7]
    assert listed(read(TEXT), ("device", "nobody")) == []
