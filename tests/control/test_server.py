# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ASYNC240 - a test's few files do not hold up its event loop
from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.control.request import Request
from p2p_handoff.control.schema import MAX_LINE, decode, encode, request_line
from p2p_handoff.control.server import ControlServer
from p2p_handoff.errors import ExitCode, HandoffError, RejectedError, StoppedError, TrustError, UsageError
from tests.control.conftest import Serve

Call = Callable[..., Awaitable[dict[str, Any]]]


async def echo(request: Request) -> Mapping[str, object]:
    return {"args": dict(request.args)}


async def exchange(path: Path, data: bytes) -> dict[str, Any]:
    """Send raw bytes and read one line."""
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
    writer.write(data)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return decode(line)


class Lasting:
    """A handler that runs until it is cancelled, and tells when it began and ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, _: Request) -> Mapping[str, object]:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return {}


async def test_the_socket_is_this_users_alone(serve: Serve, path: Path) -> None:
    await serve({})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_directory_open_to_others_is_refused(path: Path) -> None:
    path.parent.chmod(0o755)
    with pytest.raises(TrustError):
        await ControlServer(path, {}).start()


async def test_the_socket_is_gone_after_close(path: Path) -> None:
    async with ControlServer(path, {}):
        assert path.exists()
    assert not path.exists()


async def test_a_second_agent_is_refused_and_the_first_goes_on(serve: Serve, call: Call, path: Path) -> None:
    await serve({"echo": echo})
    with pytest.raises(UsageError, match="another agent"):
        await ControlServer(path, {}).start()
    assert await call("echo", {"a": 1}) == {"args": {"a": 1}}


async def test_the_socket_of_a_dead_agent_is_replaced(serve: Serve, call: Call, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    await serve({"echo": echo})
    assert await call("echo") == {"args": {}}


async def test_a_file_in_the_way_is_kept(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(UsageError, match="in the way"):
        await ControlServer(path, {}).start()
    assert path.read_text() == "precious"


async def test_close_leaves_the_socket_of_a_successor(path: Path) -> None:
    first = ControlServer(path, {})
    await first.start()
    path.unlink()
    async with ControlServer(path, {}):
        await first.close()
        assert path.exists()


async def test_closing_the_connection_cancels_the_command(serve: Serve, path: Path) -> None:
    lasting = Lasting()
    await serve({"wait": lasting})
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(encode(request_line("wait", {}, interactive=False)))
    await lasting.begun.wait()
    assert not lasting.cancelled.is_set()
    writer.close()
    await asyncio.wait_for(lasting.cancelled.wait(), 5)


async def test_closing_the_server_cancels_its_commands_and_says_so(serve: Serve, call: Call) -> None:
    lasting = Lasting()
    server = await serve({"wait": lasting})
    waiting = asyncio.ensure_future(call("wait"))
    await lasting.begun.wait()
    await server.close()
    assert lasting.cancelled.is_set()
    with pytest.raises(StoppedError, match="stopped") as caught:
        await waiting
    assert caught.value.exit_code is ExitCode.STOPPED


async def test_a_command_says_how_it_stands_when_the_server_closes(serve: Serve, call: Call) -> None:
    begun = asyncio.Event()

    async def handing(request: Request) -> Mapping[str, object]:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {"stopping": request.stopping}
        raise AssertionError

    server = await serve({"to": handing})
    waiting = asyncio.ensure_future(call("to"))
    await begun.wait()
    await server.close()
    assert await waiting == {"stopping": True}


async def test_an_error_of_ours_arrives_with_its_class_and_reason(serve: Serve, call: Call) -> None:
    async def refuse(request: Request) -> Mapping[str, object]:
        raise RejectedError("desktop said no", reason="busy", state="it is still here", advice="try later")

    await serve({"to": refuse})
    with pytest.raises(RejectedError) as caught:
        await call("to")
    assert caught.value.sentence == "desktop said no; it is still here; try later."
    assert caught.value.reason == "busy"


async def test_an_unforeseen_error_goes_to_the_log_and_not_to_the_client(
    serve: Serve, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> Mapping[str, object]:
        raise ZeroDivisionError("secret detail")

    await serve({"fail": fail})
    with caplog.at_level(logging.ERROR), pytest.raises(HandoffError) as caught:
        await call("fail")
    assert type(caught.value) is HandoffError
    assert "secret" not in caught.value.sentence
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("failure", [ConnectionResetError("of a peer"), OSError("disk"), TimeoutError()])
async def test_an_error_of_the_system_in_a_handler_is_answered_too(
    serve: Serve, call: Call, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> Mapping[str, object]:
        raise failure

    await serve({"fail": fail})
    with pytest.raises(HandoffError, match="unexpected"):
        await call("fail")


async def test_a_result_that_is_not_json_is_an_unexpected_error(
    serve: Serve, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    async def odd(request: Request) -> Mapping[str, object]:
        return {"value": object()}

    await serve({"odd": odd})
    with pytest.raises(HandoffError, match="unexpected"):
        await call("odd")


async def test_an_unknown_command_is_a_usage_error(serve: Serve, call: Call) -> None:
    await serve({})
    with pytest.raises(UsageError, match="'dance'"):
        await call("dance")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"nonsense\n", "peer-protocol"),
        (b"[]\n", "peer-protocol"),
        (b'{"protocol":1}\n', "peer-protocol"),
        (b'{"protocol":99,"command":"echo"}\n', "version"),
        (b"x" * (MAX_LINE + 10), "peer-protocol"),
    ],
)
async def test_a_bad_first_line_is_answered_with_an_error(serve: Serve, path: Path, data: bytes, code: str) -> None:
    await serve({"echo": echo})
    assert (await exchange(path, data))["error"]["code"] == code


async def test_nonsense_during_a_command_cancels_it(serve: Serve, path: Path) -> None:
    lasting = Lasting()
    await serve({"wait": lasting})
    answer = await exchange(path, encode(request_line("wait", {}, interactive=True)) + b"nonsense\n")
    assert answer["error"]["code"] == "peer-protocol"
    assert lasting.cancelled.is_set()


async def test_too_many_commands_are_refused_and_a_later_one_runs(serve: Serve, call: Call) -> None:
    lasting = Lasting()
    server = await serve({"wait": lasting, "echo": echo}, max_connections=1)
    waiting = asyncio.ensure_future(call("wait", timeout=0.3))
    await lasting.begun.wait()
    with pytest.raises(UsageError, match="already runs 1"):
        await call("echo")
    with pytest.raises(HandoffError):
        await waiting
    while server._connections:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
    assert await call("echo") == {"args": {}}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_is_refused_even_if_the_file_modes_let_him_in(serve: Serve, path: Path) -> None:
    await serve({"echo": echo})
    for directory in (path.parent, *path.parent.parents):
        if directory.stat().st_mode & 0o077 == 0:
            directory.chmod(0o711)
    path.chmod(0o666)
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(sys.argv[2].encode()); sys.stdout.write(s.makefile().readline())"
    )
    line = encode(request_line("echo", {}, interactive=False)).decode()
    argv = [sys.executable, "-I", "-S", "-c", script, str(path), line]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=True)
    assert decode(done.stdout.encode())["error"]["code"] == "trust"
