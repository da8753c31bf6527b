# SPDX-License-Identifier: Apache-2.0
"""The blocking client of the local API. Layer: I/O ring; standard library only, so that a command starts at once.

One connection carries one command: ``Client.call`` sends it, passes on events and questions, and returns the result
or raises the agent's own error. Closing the connection cancels the command. Specification: docs/specs/control.md.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from p2p_handoff.control.credentials import check_peer
from p2p_handoff.control.private_directory import check_directory
from p2p_handoff.control.schema import MAX_LINE, Fields, decode, encode, rebuild_error, request_line
from p2p_handoff.errors import HandoffError, RemoteProtocolError, TimedOutError, UnreachableError, UsageError

if TYPE_CHECKING:
    from pathlib import Path  # importing it takes a third of this module's start-up

OnEvent = Callable[[str, Fields], None]
"""Called with an event's name and its other fields."""
OnAsk = Callable[[str, Any, list[Any]], Any]
"""Called with the name of a question, the question and its choices; returns the answer."""

CONNECT_DEADLINE: Final = 5.0
"""Seconds for the agent to take a connection: only one that hangs needs longer."""

_START: Final = "start it with 'handoff agent run'"


class Client:
    """Speaks to the agent behind one control socket.

    Args:
        path: The control socket, from ``socket_path.socket_path``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: socket.socket | None = None

    def give_up(self) -> bool:
        """Ask the agent to give up the command that runs; its result tells what became of it.

        Returns:
            False when none runs. May be called by a signal handler while ``call`` waits.
        """
        if self._connection is None:
            return False
        with _explained():
            self._connection.sendall(encode({"cancel": True}))
        return True

    def call(
        self,
        command: str,
        args: Fields | None = None,
        *,
        on_event: OnEvent | None = None,
        on_ask: OnAsk | None = None,
        timeout: float | None = None,
    ) -> Fields:
        """Run one command in the agent.

        Args:
            command: Its name.
            args: Its arguments, JSON-ready.
            on_event: Gets what happens meanwhile.
            on_ask: Answers questions; without it the agent takes its defaults.
            timeout: Most seconds of silence; None waits as long as the command takes.

        Raises:
            UnreachableError: No agent runs, or it went away.
            TimedOutError: The agent was silent for too long.
            TrustError: The socket is not this user's.
            RemoteProtocolError: The agent sent something that is not in the protocol.
            HandoffError: What the command itself raised in the agent.
        """
        request = request_line(command, args or {}, interactive=on_ask is not None)
        with self._connect() as connection, connection.makefile("rb") as lines:
            connection.settimeout(timeout)
            with _explained():
                connection.sendall(encode(request))
            self._connection = connection
            try:
                for fields in _received(lines):
                    if "result" in fields:
                        return _result(fields["result"])
                    _handle(connection, fields, on_event, on_ask)
            finally:
                self._connection = None
        raise UnreachableError("the agent went away before the command ended", advice=_START)

    def running(self) -> bool:
        """Whether an agent takes connections on the socket."""
        try:
            self._connect().close()
        except UnreachableError:
            return False
        return True

    def _connect(self) -> socket.socket:
        if not self._path.parent.exists():
            raise UnreachableError("no agent is running", advice=_START)
        check_directory(self._path)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_DEADLINE)
            connection.connect(str(self._path))
            check_peer(connection)
        except (OSError, HandoffError) as error:
            connection.close()
            raise _connect_error(error, self._path) from None
        return connection


def _connect_error(error: OSError | HandoffError, path: Path) -> HandoffError:
    match error:
        case HandoffError():
            return error
        case FileNotFoundError():
            return UnreachableError("no agent is running", advice=_START)
        case ConnectionRefusedError():
            return UnreachableError("no agent is running; the last one ended without cleaning up", advice=_START)
        case TimeoutError() | BlockingIOError():
            return UnreachableError("the agent does not take connections", advice="see its log, or stop it")
        case OSError(strerror=None):  # "AF_UNIX path too long" has no number
            return UsageError(f"the control socket's path {path} is too long")
        case _:
            return UnreachableError(f"the agent's socket {path} cannot be used: {error.strerror}")


def _received(lines: BinaryIO) -> Iterator[Fields]:
    while True:
        with _explained():
            line = lines.readline(MAX_LINE + 1)
        if not line:
            return
        yield decode(line)


def _handle(connection: socket.socket, fields: Fields, on_event: OnEvent | None, on_ask: OnAsk | None) -> None:
    if "error" in fields:
        raise rebuild_error(fields["error"])
    if "event" in fields:
        if on_event is not None:
            on_event(str(fields.pop("event")), fields)
    elif "ask" in fields:
        reply = encode({"answer": _answer(fields, on_ask)})
        with _explained():
            connection.sendall(reply)
    else:
        raise RemoteProtocolError("the agent sent a line that is neither event, question, result nor error")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a failure of the socket, and of nothing else, into words."""
    try:
        yield
    except TimeoutError:
        raise TimedOutError("the agent has been silent for too long", advice="see its log") from None
    except OSError as error:
        raise UnreachableError(f"the agent went away: {error.strerror}", advice=_START) from None


def _answer(fields: Fields, on_ask: OnAsk | None) -> Any:
    choices = fields.get("choices")
    if on_ask is None or not isinstance(choices, list):
        raise RemoteProtocolError("the agent asked something that nobody can answer")
    return on_ask(str(fields["ask"]), fields.get("question"), choices)


def _result(result: object) -> Fields:
    if not isinstance(result, dict):
        raise RemoteProtocolError("the agent sent a result that is not an object")
    return result
