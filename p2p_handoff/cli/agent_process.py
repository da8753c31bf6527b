# SPDX-License-Identifier: Apache-2.0
"""Reaching an agent, and starting one in the background where none runs. Layer: cli. Specification: docs/cli.md §2."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import ExitCode, HandoffError, StorageError, UnreachableError

if TYPE_CHECKING:
    import subprocess  # at run time where an agent is started: most commands find one

START_DEADLINE = 20.0
"""Seconds for a fresh agent to answer: imports alone take one on a slow machine."""
STOP_DEADLINE = 10.0
"""Seconds for an agent to stop: one that has granted a session asks for the answer for five of them."""
ANSWER_DEADLINE = 10.0
"""Seconds for an agent that takes connections to say who it is: only one that hangs needs longer."""
_POLL = 0.02
_LOG_NAME = "agent.log"
_MAX_LOG = 5 * 1024 * 1024


def reach(home: Path) -> Client:
    """A client of the agent on a home, which is started in the background where none runs.

    Raises:
        HandoffError: The agent cannot be started; the sentence is the agent's own.
    """
    client = Client(socket_path(home))
    if not _answers(client):
        _wait_for(client, start(home, []), home / _LOG_NAME)
    return client


def running(home: Path) -> Client:
    """A client of an agent that runs already.

    Raises:
        UnreachableError: None does.
    """
    client = Client(socket_path(home))
    if not _answers(client):
        raise UnreachableError(
            "no agent runs on this home", advice="'handoff agent run' or any other command starts one"
        )
    return client


def start(home: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start an agent that outlives this process; it logs into its home.

    Raises:
        StorageError: Its home cannot be made or written to.
    """
    import subprocess  # noqa: PLC0415 - see above

    try:
        descriptor = _open_log(home)
    except OSError as error:
        raise StorageError(
            f"the data directory {home} cannot be used: {error.strerror}", advice="choose another one with --home"
        ) from error
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*agent_argv(home), "--background", "--log-level", "info", *options],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def _open_log(home: Path) -> int:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / _LOG_NAME
    if path.exists() and path.stat().st_size > _MAX_LOG:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def agent_argv(home: Path) -> list[str]:
    """The command of the agent's process."""
    return [sys.executable, "-m", "p2p_handoff.agent", "--home", str(home.absolute())]


@contextlib.contextmanager
def short_lived(options: Sequence[str]) -> Iterator[Client]:
    """An agent with a temporary home that ends with the block: for one-off copies.

    Raises:
        HandoffError: It cannot be started.
    """
    import shutil  # noqa: PLC0415 - these four are for one-off copies alone
    import signal  # noqa: PLC0415
    import subprocess  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    home = Path(tempfile.mkdtemp(prefix="handoff-"))
    # The other side looks for the code's number; nobody else needs to recognise a device that is gone in a minute.
    # Its keys go with its home.
    process = start(home, [*options, "--visible", "linked", "--keys", "file"])
    client = Client(socket_path(home))
    try:
        _wait_for(client, process, home / _LOG_NAME)
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _answers(client: Client) -> bool:
    try:
        client.call("whoami", {}, timeout=ANSWER_DEADLINE)
    except UnreachableError:
        return False
    return True


def _wait_for(client: Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while not _answers(client):
        if process.poll() is not None:
            if _answers(client):
                return  # Another command started one at the same moment.
            raise _start_error(process.returncode, log)
        if time.monotonic() > deadline:
            raise UnreachableError("the agent did not start in time", advice=f"see {log}")
        time.sleep(_POLL)


def _start_error(returncode: int, log: Path) -> HandoffError:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    error = HandoffError((lines[-1] if lines else "the agent ended at once").rstrip("."))
    error.exit_code = type(error).exit_code if returncode < 0 else _exit_code(returncode)
    return error


def _exit_code(returncode: int) -> ExitCode:
    try:
        return ExitCode(returncode)
    except ValueError:
        return ExitCode.UNEXPECTED
