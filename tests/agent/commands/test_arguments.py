# SPDX-License-Identifier: Apache-2.0
"""Whatever a client sends as an argument is taken as what it is, or is a UsageError that names it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.agent.commands import arguments
from p2p_handoff.errors import UsageError
from p2p_handoff.session.guard import EVERYTHING, NOTHING, Letting

Read = Callable[[Mapping[str, Any]], object]


def named(read: Callable[[Mapping[str, Any], str], object]) -> Read:
    return lambda args: read(args, "x")


def number(args: Mapping[str, Any]) -> object:
    return arguments.number(args, "x", 0.5)


TAKEN: list[tuple[Read, dict[str, Any], object]] = [
    (named(arguments.text), {"x": "chat"}, "chat"),
    (named(arguments.optional_text), {"x": "chat"}, "chat"),
    (named(arguments.optional_text), {}, None),
    (named(arguments.optional_text), {"x": ""}, None),
    (named(arguments.texts), {"x": ["/a", "/b"]}, ["/a", "/b"]),
    (named(arguments.directory), {}, None),
    (number, {}, 0.5),
    (number, {"x": 0}, 0.0),
    (number, {"x": sys.float_info.max}, sys.float_info.max),
    (arguments.types, {}, []),
    (arguments.types, {"only": ["messages"]}, ["messages"]),
    (arguments.letting, {}, NOTHING),
    (arguments.letting, {"secrets": True}, EVERYTHING),
    (arguments.letting, {"secrets": ["/keys/id/"]}, Letting(paths=frozenset({b"keys/id"}))),
]

REFUSED: list[tuple[Read, dict[str, Any], str]] = [
    (named(arguments.text), {}, "'x' is missing"),
    (named(arguments.text), {"x": ""}, "'x' is missing"),
    (named(arguments.text), {"x": 7}, "'x' is missing"),
    (named(arguments.optional_text), {"x": ["chat"]}, "'x' must be a text"),
    (named(arguments.texts), {"x": []}, "'x' must be a list"),
    (named(arguments.texts), {"x": ["/a", 7]}, "'x' must be a list"),
    (named(arguments.texts), {"x": "/a"}, "'x' must be a list"),
    (named(arguments.directory), {"x": "a\0b"}, "'x' is no path"),
    (number, {"x": -1}, "'x' must be a number"),
    (number, {"x": True}, "'x' must be a number"),
    (number, {"x": "1"}, "'x' must be a number"),
    (number, {"x": 10**400}, "'x' must be a number"),
    (number, {"x": float("nan")}, "'x' must be a number"),
    (arguments.types, {"only": "messages"}, "'only' must be a list"),
    (arguments.types, {"only": ["money"]}, "'money' is no part type"),
    (arguments.letting, {"secrets": "all"}, "'secrets' must be true or a list"),
    (arguments.letting, {"secrets": [7]}, "'secrets' must be true or a list"),
]


@pytest.mark.parametrize(("read", "args", "value"), TAKEN)
def test_an_argument_is_taken(read: Read, args: dict[str, Any], value: object) -> None:
    assert read(args) == value


@pytest.mark.parametrize(("read", "args", "why"), REFUSED)
def test_an_argument_of_another_kind_is_refused(read: Read, args: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(args)


def test_a_session_is_what_was_typed_and_where(tmp_path: Path) -> None:
    assert arguments.wish({"session": "chat", "here": str(tmp_path)}) == ("chat", tmp_path)
    assert arguments.wish({}) == (None, None)
