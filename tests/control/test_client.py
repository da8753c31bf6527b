# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from p2p_handoff.control.client import Client
from p2p_handoff.control.request import Request
from p2p_handoff.control.schema import MAX_LINE
from p2p_handoff.errors import RemoteProtocolError, TimedOutError, TrustError, UnreachableError, UsageError
from tests.control.conftest import Serve

Call = Callable[..., Awaitable[dict[str, Any]]]


@contextmanager
def agent_that_says(path: Path, *lines: bytes) -> Iterator[None]:
    """Something that takes one connection and one line, says what it is given, and hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def speak() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as reader:
                reader.readline()
                connection.sendall(b"".join(lines))

        thread = Thread(target=speak)
        thread.start()
        yield
        thread.join()


def test_importing_the_client_loads_nothing_slow() -> None:
    slow = {
        "asyncio",
        "pathlib",
        "tempfile",
        "hashlib",
        "dataclasses",
        "inspect",
        "logging",
        "aiohttp",
        "click",
        "rich",
    }
    script = "import sys, p2p_handoff.control.client; print(*sys.modules)"
    argv = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {script}"]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert "p2p_handoff.control.client" in loaded
    assert slow.isdisjoint(loaded)


@pytest.mark.parametrize("parent_exists", [True, False])
def test_without_an_agent_the_error_says_how_to_start_one(path: Path, *, parent_exists: bool) -> None:
    missing = path if parent_exists else path / "deeper" / "agent.sock"
    client = Client(missing)
    assert not client.running()
    with pytest.raises(UnreachableError, match=r"no agent is running$") as caught:
        client.call("peers")
    assert "handoff agent run" in caught.value.advice


def test_the_socket_of_a_dead_agent_is_told_apart(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert not Client(path).running()
    with pytest.raises(UnreachableError, match="without cleaning up"):
        Client(path).call("peers")


def test_a_socket_in_a_directory_open_to_others_is_not_trusted(path: Path) -> None:
    path.parent.chmod(0o755)
    with pytest.raises(TrustError):
        Client(path).call("peers")


def test_a_path_that_is_too_long_is_a_usage_error(path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        Client(path.parent / ("x" * 120)).call("peers")


async def test_running_is_true_while_an_agent_listens(serve: Serve, path: Path) -> None:
    await serve({})
    assert await asyncio.to_thread(Client(path).running)


async def test_silence_beyond_the_timeout_is_an_error(serve: Serve, call: Call) -> None:
    async def silent(request: Request) -> Mapping[str, object]:
        await asyncio.Event().wait()
        return {}

    await serve({"wait": silent})
    with pytest.raises(TimedOutError, match="silent"):
        await call("wait", timeout=0.05)


@pytest.mark.parametrize("lines", [(), (b'{"event":"x"}\n',), (b'{"result"',)])
def test_an_agent_that_hangs_up_early_is_unreachable_or_talks_nonsense(path: Path, lines: tuple[bytes, ...]) -> None:
    with agent_that_says(path, *lines), pytest.raises((UnreachableError, RemoteProtocolError)):
        Client(path).call("peers")


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"{}\n", b'{"result":1}\n', b'{"error":1}\n', b'{"ask":"choose","question":"?","choices":["a"]}\n'],
)
def test_an_agent_that_talks_nonsense_is_told_so(path: Path, line: bytes) -> None:
    with agent_that_says(path, line), pytest.raises(RemoteProtocolError):
        Client(path).call("peers")


def test_an_endless_line_is_not_read_to_its_end(path: Path) -> None:
    with agent_that_says(path, b"x" * (MAX_LINE + 1)), pytest.raises(RemoteProtocolError, match="too long"):
        Client(path).call("peers")


def test_an_error_in_a_callback_is_not_taken_for_the_agents(path: Path) -> None:
    def broken_pipe(*_: object) -> None:
        raise BrokenPipeError

    with agent_that_says(path, b'{"event":"progress"}\n'), pytest.raises(BrokenPipeError):
        Client(path).call("to", on_event=broken_pipe)
