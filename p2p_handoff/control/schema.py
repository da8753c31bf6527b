# SPDX-License-Identifier: Apache-2.0
"""The lines that client and agent exchange over the local socket. Layer: I/O ring, no I/O itself.

Shared by both sides and by the command line's start-up, so it imports nothing that is slow to import.
Specification: docs/specs/control.md §2.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from p2p_handoff.errors import HandoffError, RejectedError, RemoteProtocolError, VersionError

PROTOCOL: Final = 1
"""Version of this local protocol: client and agent must speak the same one."""
MAX_LINE: Final = 1024 * 1024
"""Bytes of one line with its newline: the longest real one, a list of sessions, is some hundred KiB."""
MAX_NAME: Final = 64
"""Characters of a command's or an event's name."""

Fields = dict[str, Any]
"""One line, decoded."""


def encode(fields: Fields) -> bytes:
    """One line with its newline.

    Raises:
        RemoteProtocolError: It would be longer than MAX_LINE.
    """
    line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A path that is not UTF-8 has surrogates in Python: JSON's own escapes carry them.
    data = line.encode("utf-8") if _encodable(line) else json.dumps(fields, separators=(",", ":")).encode("ascii")
    if len(data) >= MAX_LINE:
        raise RemoteProtocolError(f"a line of {len(data):,} bytes is too long for the local socket")
    return data + b"\n"


def decode(line: bytes) -> Fields:
    """The fields of one line.

    Raises:
        RemoteProtocolError: It is not a JSON object, not UTF-8, or too long.
    """
    if len(line) > MAX_LINE:
        raise RemoteProtocolError("a line on the local socket is too long")
    try:
        fields = json.loads(line, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("a line on the local socket is not JSON") from None
    if not isinstance(fields, dict):
        raise RemoteProtocolError("a line on the local socket is not a JSON object")
    return fields


def _finite(number: str) -> float:
    """JSON has no infinity and no NaN; Python takes them, and ``1e400`` for one."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(number)
    return value


def request_line(command: str, args: Fields, *, interactive: bool) -> Fields:
    """What a client says first."""
    return {"protocol": PROTOCOL, "command": command, "args": args, "interactive": interactive}


def read_request(fields: Fields) -> tuple[str, Fields, bool]:
    """Command, arguments and whether somebody can be asked.

    Raises:
        VersionError: The client speaks another version of this protocol.
        RemoteProtocolError: A field is missing or has the wrong type.
    """
    check_protocol(fields.get("protocol"), theirs="the command", ours="the agent")
    for name in fields:
        if name.startswith("!"):
            raise RemoteProtocolError(f"field {name[:40]!r} of a request must be understood, and is not")
    command, args, interactive = fields.get("command"), fields.get("args", {}), fields.get("interactive", False)
    if not (isinstance(command, str) and 0 < len(command) <= MAX_NAME):
        raise RemoteProtocolError("a request has no command")
    if not isinstance(args, dict) or not isinstance(interactive, bool):
        raise RemoteProtocolError("a request's args are not an object, or interactive is not true or false")
    return command, args, interactive


def check_protocol(version: object, *, theirs: str, ours: str) -> None:
    """Refuse another version of the local protocol in words.

    Raises:
        VersionError: They differ.
    """
    if type(version) is not int or version != PROTOCOL:  # true and 1.0 equal 1
        raise VersionError(
            f"{theirs} speaks version {version!s:.10} of the local protocol and {ours} version {PROTOCOL}",
            advice="'handoff agent stop' ends the running agent; the next command starts the installed one",
        )


def error_line(error: HandoffError) -> Fields:
    """How an error travels."""
    fields: Fields = {
        "code": error.code,
        "message": error.sentence,
        "exit_code": int(error.exit_code),
        "what": error.what,
        "state": error.state,
        "advice": error.advice,
    }
    if isinstance(error, RejectedError):
        fields["reason"] = error.reason
    return {"error": fields}


def rebuild_error(fields: object) -> HandoffError:
    """The error that an error line stands for: its own class, else one with the same exit code."""
    if not isinstance(fields, dict):
        return RemoteProtocolError("the agent sent an error without fields")
    texts = {key: str(fields.get(key, "")) for key in ("what", "state", "advice")}
    what = texts.pop("what") or str(fields.get("message", "")) or "the agent failed"
    kind = _class_of(fields.get("code"), fields.get("exit_code"))
    if issubclass(kind, RejectedError):
        return kind(what, reason=str(fields.get("reason", "declined")), **texts)
    return kind(what, **texts)


def _class_of(code: object, exit_code: object) -> type[HandoffError]:
    kinds = list(_tree(HandoffError))
    same_code = (kind for kind in kinds if kind.code == code)
    same_exit = (kind for kind in kinds if kind.exit_code == exit_code)
    return next(same_code, None) or next(same_exit, HandoffError)


def _tree(kind: type[HandoffError]) -> Any:
    """A class and all below it, parents first."""
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _encodable(line: str) -> bool:
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
