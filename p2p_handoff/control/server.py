# SPDX-License-Identifier: Apache-2.0
"""The agent's side of the local API: a Unix socket that only this user can use. Layer: I/O ring.

Per connection one command runs, as one task: when the client goes away it is cancelled. Errors of this project travel
with their exit code; anything else is logged with its traceback and reaches the client as one plain sentence.
Specification: docs/specs/control.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from p2p_handoff.control.credentials import check_peer
from p2p_handoff.control.private_directory import prepare_directory
from p2p_handoff.control.request import Handler, Request
from p2p_handoff.control.schema import MAX_LINE, Fields, decode, encode, error_line, read_request
from p2p_handoff.errors import (
    CancelledError,
    HandoffError,
    RemoteProtocolError,
    StoppedError,
    TimedOutError,
    UsageError,
)

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 64
"""Commands at once: a person runs two or three, a script some dozens."""
REQUEST_DEADLINE: Final = 5.0
"""Seconds a client has for its first line: it sends it right after connecting."""
CLOSE_DEADLINE: Final = 2.0
"""Seconds a client has to take its last line: longer only if it is stopped, and then nobody waits for it."""
ACCEPT_DEADLINE: Final = 1.0
"""Seconds in which a live agent takes a connection, when it is asked whether it is one."""


class _ClientLeftError(Exception):
    """The client closed the connection: nobody is there to be told anything."""


class ControlServer:
    """Listens on one control socket. Call ``start()``, and ``close()`` at the end; or use it with ``async with``.

    Args:
        path: The control socket, from ``socket_path.socket_path``.
        handlers: What runs for each command.
        max_connections: Commands at once; more are refused.
    """

    def __init__(self, path: Path, handlers: Mapping[str, Handler], *, max_connections: int = MAX_CONNECTIONS) -> None:
        self.path = path
        self._handlers = handlers
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            UsageError: Another agent listens there, or the socket cannot be made.
            TrustError: The socket's directory is not this user's alone.
        """
        prepare_directory(self.path)
        listener = _listen(self.path)
        self._inode = self.path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=MAX_LINE)

    async def close(self) -> None:
        """Stop listening, cancel all commands, and remove the socket unless another agent has put its own there."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None
        with suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = encode({"result": dict(await self._run(reader, writer))})
        except HandoffError as error:
            line = encode(error_line(error))
        except asyncio.CancelledError:
            line = encode(error_line(StoppedError("the agent was stopped", advice="the next command starts it again")))
        except _ClientLeftError:
            return
        except Exception:
            log.exception("a command failed in a way that nobody foresaw")
            line = encode(error_line(HandoffError("something unexpected happened in the agent", advice="see its log")))
        with suppress(ConnectionError):
            writer.write(line)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Mapping[str, object]:
        # The request is read even if it will be refused: a client that is cut off while it sends learns no reason.
        line = await _first_line(reader)
        check_peer(writer.get_extra_info("socket"))
        if len(self._connections) > self._max_connections:
            raise UsageError(f"the agent already runs {self._max_connections} commands", advice="wait until one ends")
        command, args, interactive = read_request(decode(line))
        handler = self._handlers.get(command)
        if handler is None:
            raise UsageError(f"the agent does not know the command {command!r:.80}")
        answers: asyncio.Queue[Fields] = asyncio.Queue(maxsize=1)
        request = Request(command, args, interactive=interactive, writer=writer, answers=answers)
        return await _until_client_leaves(handler, request, reader, answers)


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(REQUEST_DEADLINE):  # Python 3.11's wait_for can swallow a cancellation.
            line = await _read_line(reader)
    except TimeoutError:
        raise TimedOutError(f"the client sent no command within {REQUEST_DEADLINE:g} s") from None
    if line is None:
        raise _ClientLeftError
    return line


async def _until_client_leaves(
    handler: Handler, request: Request, reader: asyncio.StreamReader, answers: asyncio.Queue[Fields]
) -> Mapping[str, object]:
    """Run a handler; cancel it when the client closes the connection or breaks the protocol."""
    running = asyncio.ensure_future(handler(request))
    listening = asyncio.create_task(_listen_to(reader, answers, lambda: _give_up(request, running)))
    try:
        await asyncio.wait((running, listening), return_when=asyncio.FIRST_COMPLETED)
        if running.cancelled() and request.given_up:
            raise CancelledError("cancelled")
        if running.done():
            return running.result()
        listening.result()
        raise _ClientLeftError
    except asyncio.CancelledError:
        request.stopping = True
        running.cancel()
        return await running  # It may have to say how things stand.
    finally:
        await _stop(running)
        await _stop(listening)


def _give_up(request: Request, running: asyncio.Future[Mapping[str, object]]) -> None:
    request.given_up = True
    running.cancel()


async def _listen_to(reader: asyncio.StreamReader, answers: asyncio.Queue[Fields], give_up: Callable[[], None]) -> None:
    """Pass on the client's lines; returns when it closes the connection."""
    while (line := await _read_line(reader)) is not None:
        fields = decode(line)
        if fields.get("cancel") is True:
            give_up()
        else:
            await answers.put(fields)


async def _read_line(reader: asyncio.StreamReader) -> bytes | None:
    """One whole line; None at the end.

    Raises:
        RemoteProtocolError: It is longer than MAX_LINE.
    """
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise RemoteProtocolError("a line on the local socket is too long") from None


async def _stop(task: asyncio.Future[Any]) -> None:
    """Cancel and wait; what it raised meanwhile is logged, unless it was told to the client already."""
    if task.done():
        return
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    except Exception:
        log.exception("a command that was cancelled failed")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_DEADLINE):
            await writer.wait_closed()
    except (ConnectionError, TimeoutError):
        writer.transport.abort()


def _listen(path: Path) -> socket.socket:
    """A listening socket with mode 0600 at a path; a dead agent's socket there is replaced.

    Raises:
        UsageError: Another agent listens there, or the socket cannot be made.
    """
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(stat.S_IXUSR | stat.S_IRWXG | stat.S_IRWXO)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise UsageError(f"the control socket {path} cannot be made: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    listener.listen()
    listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of an agent that ended without cleaning up.

    Raises:
        UsageError: An agent answers there, or something other than a socket is in the way.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise UsageError(f"{path} is in the way of the control socket", advice="move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ACCEPT_DEADLINE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError:  # its queue is full: busy, and alive
            pass
    raise UsageError("another agent is running with this home", advice="'handoff agent status' tells about it")
