# SPDX-License-Identifier: Apache-2.0
"""The relay as people run it: a process."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner

from p2p_handoff.rendezvous.client import RelayClient
from signaling.__main__ import main
from tests.signaling.parties import ALICE


@asynccontextmanager
async def relay_process(*options: str) -> AsyncIterator[tuple[Process, str]]:
    """A relay on a free loopback port, and its URL."""
    argv = [sys.executable, "-m", "signaling", "--host", "127.0.0.1", "--port", "0", *options]
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    try:
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_shuts_the_relay_down_cleanly(number: signal.Signals) -> None:
    async with relay_process() as (process, url):
        async with RelayClient.connect(url, ALICE.key, ALICE.sign) as client:
            process.send_signal(number)
            async with asyncio.timeout(10):
                await client.closed.wait()
                assert client.close_reason == "the relay shut down"
                assert await process.communicate() == (b"", b"")
        assert process.returncode == 0


async def test_a_taken_port_is_one_line_and_a_usage_error() -> None:
    async with relay_process() as (_, url):
        port = url.rpartition(":")[2].removesuffix("/v1")
        argv = [sys.executable, "-m", "signaling", "--host", "127.0.0.1", "--port", port]
        second = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE)
        out, err = await second.communicate()
    assert second.returncode == 2
    assert out == b""
    assert err.decode().count("\n") == 1
    assert f"port {port} on 127.0.0.1 is taken" in err.decode()


def test_a_certificate_that_cannot_be_read_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["--tls-cert", "/nonexistent.pem"])
    assert result.exit_code == 2
    assert "certificate" in result.output


def test_a_key_without_a_certificate_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["--tls-key", "/nonexistent.pem"]).exit_code == 2
