# SPDX-License-Identifier: Apache-2.0
"""Tells the warden of every protocol message, when this directory is on an agent's path.

Python imports a module of this name before anything else. Before a message is queued, and before one that came is acted
upon, the process makes a system call that changes nothing and names the message (tests/chaos/messages.py): it stands
still in it while the warden decides. Nothing else of the product is different.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NOWHERE = Path("/handoff-chaos-nowhere")
_LAUNCHER = "tests.chaos.launch"


def _tell(way: str, kind: str) -> None:
    with contextlib.suppress(OSError):
        (_NOWHERE / f"message:{way}:{kind}").rmdir()


def _around(owner: Any, name: str, tell: Callable[[Any, Any], None]) -> None:
    """Call ``tell`` with the argument of a method before the method."""
    if not hasattr(owner, name):
        sys.exit(f"telling: {owner} has no {name} any more")
    real = getattr(owner, name)

    def replaced(self: Any, argument: Any, *others: Any) -> Any:
        tell(self, argument)
        return real(self, argument, *others)

    setattr(owner, name, replaced)


def _install() -> None:
    from p2p_handoff.protocol.connection import Connection, ObjectReceived  # noqa: PLC0415
    from p2p_handoff.protocol.messages import MESSAGES  # noqa: PLC0415

    names = {message: name for name, message in MESSAGES.items()}
    _around(Connection, "_queue", lambda _, message: _tell("sent", names[type(message)]))
    for method in ("_greet", "_dispatch"):
        _around(Connection, method, lambda _, message: _tell("came", names[type(message)]))
    _around(Connection, "send_object", lambda *_: _tell("sent", "object"))
    real = Connection.receive

    def receive(self: Connection, *arguments: Any) -> Any:
        events = real(self, *arguments)
        for event in events:
            if isinstance(event, ObjectReceived):
                _tell("came", "object")
        return events

    setattr(Connection, "receive", receive)  # noqa: B010 - a checker rightly forbids the plain assignment


if _LAUNCHER not in sys.orig_argv:
    _install()
