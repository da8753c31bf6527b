# SPDX-License-Identifier: Apache-2.0
"""Targets: lines on the local socket, with the arguments of commands, and the configuration file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent.commands import arguments
from p2p_handoff.control import schema
from p2p_handoff.errors import HandoffError, UsageError
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.settings.config import CONFIG_NAME, load
from tests.fuzz.target import BrokenPromiseError, Shape, Target, attempt, must
from tests.fuzz.targets.places import ground

_DOCUMENT: Final = Path(__file__).parents[3] / "docs/configuration.md"
_CHECKS: Final[tuple[Callable[[Mapping[str, Any]], object], ...]] = (
    lambda args: arguments.text(args, "session"),
    lambda args: arguments.optional_text(args, "kind"),
    lambda args: arguments.directory(args, "into"),
    lambda args: arguments.texts(args, "paths"),
    arguments.types,
)


def _line(data: bytes) -> bool:
    fields = attempt(schema.decode, data)
    if fields is None:
        return False
    attempt(schema.encode, fields)
    must(isinstance(schema.rebuild_error(fields.get("error")), HandoffError), "an error is rebuilt as something else")
    request = attempt(schema.read_request, fields)
    if request is None:
        return False
    command, args, _ = request
    must(type(fields["protocol"]) is int, "a version that is no number is taken for one")
    must(0 < len(command) <= schema.MAX_NAME, "a command's name is out of bounds")
    for check in _CHECKS:
        attempt(check, args)
    number = attempt(arguments.number, args, "max_pause", 0.3)
    must(number is None or 0 <= number < math.inf, "a number out of bounds")
    return True


def _lines() -> list[bytes]:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("to", {"peer": "desktop", "session": "essay", "max_pause": 0.1, "only": ["messages"]}),
        ("start", {"paths": ["/tmp/chat.jsonl"], "title": "essay"}),
        ("take", {"session": "essay", "into": "/nowhere", "max_pause": 1}),
        ("link", {"kind": "own"}),
        ("to", {"max_pause": 10**400}),
    ]
    lines: list[Any] = [schema.request_line(command, args, interactive=True) for command, args in requests]
    lines += [schema.error_line(UsageError("no", advice="try")), {"answer": "yes"}, {"cancel": True}]
    return [json.dumps(line).encode() + b"\n" for line in lines]


@cache
def _home() -> Path:
    home = ground() / "config"
    home.mkdir()
    return home


def _file(data: bytes) -> bool:
    (_home() / CONFIG_NAME).write_bytes(data)
    try:
        settings = load(_home())
    except UsageError as error:
        must(error.sentence.isprintable() or "\n" in error.sentence, "an error cannot be shown")
        return False
    except HandoffError as error:
        raise BrokenPromiseError(f"{type(error).__name__} for a bad file") from error
    must(0 < len(settings.name) <= MAX_TITLE, "a name that no other device takes")
    must(settings.receive_dir.is_absolute() and 0 < settings.max_pause <= 60, "a setting out of bounds")
    return True


def _files() -> list[bytes]:
    example = _DOCUMENT.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    return [example.encode(), b'name = "laptop"\nport = 8787\n[resume]\nfolder = ["code", "{path}"]\n', b""]


TARGETS = (
    Target("control", "a typed error, or a request whose arguments are what they should be", _line, Shape.TEXT, _lines),
    Target("config", "a usage error that names the file, or settings within their bounds", _file, Shape.TEXT, _files),
)
