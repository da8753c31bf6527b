# SPDX-License-Identifier: Apache-2.0
"""What ``handoff status`` prints; that it asks a real agent is in test_commands."""

from __future__ import annotations

from typing import Any

import pytest

from p2p_handoff.cli.status_commands import lines

QUIET: dict[str, Any] = {
    "name": "laptop",
    "device": "ab" * 16,
    "engine": "wrtc",
    "port": 4242,
    "peers_online": 1,
    "handoff": True,
    "receive_dir": "/home/anna/Handoff",
    "visible": "linked",
    "keys_in": "the keyring",
    "discovery": "",
    "relays": {},
    "devices": [],
    "sessions": [],
    "active": [],
    "requests": [],
    "not_in_place": [],
    "in_doubt": [],
    "lost": [],
    "old_copy": None,
    "forks": [],
    "edited_here": [],
}
LINE: dict[str, Any] = {"engine": "wrtc", "path": "host", "round_trip_ms": 0.4, "sending": 0, "receiving": 0}


def device(**line: Any) -> dict[str, Any]:
    return {"name": "desktop", "connection": {**LINE, **line}}


def session(title: str = "report", state: str = "here") -> dict[str, Any]:
    return {"title": title, "state": state, "primary": "desktop", "epoch": 3}


def told(**changed: Any) -> list[str]:
    """What is told beyond a quiet agent's lines."""
    quiet = list(lines(QUIET))
    return [line for line in lines({**QUIET, **changed}) if line not in quiet]


def test_a_quiet_agent_takes_five_lines() -> None:
    assert list(lines(QUIET)) == [
        "laptop (abababab), engine wrtc, port 4242",
        "1 device in sight, 0 sessions, 0 handoffs under way",
        "handoff is on; new sessions go to /home/anna/Handoff",
        "linked devices recognise it on the network, nobody else does",
        "its secret keys are in the keyring",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({}, "wrtc, host, round trip 0.4 ms, idle"),
        ({"sending": 1_500_000}, "wrtc, host, round trip 0.4 ms, sending 1.5 MB/s"),
        ({"sending": 10, "receiving": 20}, "wrtc, host, round trip 0.4 ms, sending 10 B/s, receiving 20 B/s"),
        ({"path": "relayed", "round_trip_ms": None}, "wrtc, relayed, idle"),
    ],
)
def test_a_connection_is_told_with_its_way_and_what_it_carries(line: dict[str, Any], words: str) -> None:
    assert told(devices=[device(**line)]) == [f"desktop is connected ({words})"]


def test_a_device_that_is_not_connected_is_only_counted() -> None:
    assert told(devices=[{"name": "desktop", "connection": None}]) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("here", "here"),
        ("leaving", "here, being handed over"),
        ("in-doubt", "frozen, in doubt"),
        ("elsewhere", "on desktop"),
    ],
)
def test_a_session_is_told_with_where_it_is(state: str, words: str) -> None:
    assert told(sessions=[session(state=state)])[-1] == f"'report': {words}, epoch 3"


def test_many_sessions_are_not_told_one_by_one() -> None:
    words = told(sessions=[session(str(number)) for number in range(8)])
    assert words[-1] == "3 more sessions: handoff sessions"
    assert sum(line.endswith("epoch 3") for line in words) == 5


@pytest.mark.parametrize(("direction", "way"), [("out", "to"), ("in", "from")])
def test_a_handoff_under_way_is_told_with_how_far_it_is(direction: str, way: str) -> None:
    moving = {"phase": "copying", "round": 1, "bytes": 10, "remaining": 10, "reused_bytes": 0}
    moving |= {"rate": 5, "left": 2.0}
    handoff = {"title": "report", "direction": direction, "peer": "desktop", "connected": False, **moving}
    [_, line] = told(active=[handoff])
    assert line == f"'report' {way} desktop: copying, 10 B of 20 B, 5 B/s, 0:02 left, not connected"


def test_what_waits_and_what_is_wrong_is_told() -> None:
    words = told(
        requests=[{}],
        in_doubt=[{"text": "it is in doubt"}],
        old_copy={"text": "it is an old copy"},
        not_in_place=[{"title": "report", "text": "its disk is full"}],
        relays={"wss://here": "", "wss://there": "no answer"},
        discovery="mDNS is switched off",
    )
    assert words == [
        "1 request to answer: handoff requests",
        "it is in doubt",
        "it is an old copy",
        "'report': its disk is full",
        "relay wss://here: connected",
        "relay wss://there: no answer",
        "discovery: mDNS is switched off",
    ]
