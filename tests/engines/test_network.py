# SPDX-License-Identifier: Apache-2.0
"""Engines on machines that have little network: only loopback, or one virtual cable."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.engines.native_engine import available

ENGINES = ["aiortc", pytest.param("wrtc", marks=pytest.mark.skipif(not available(), reason="no extra `fast`"))]
PROGRAM = Path(__file__).with_name("network_peer.py")

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2"),
]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


def wait_until_running(namespace: str, link: str) -> None:
    """Follow the kernel's link events: libwebrtc found no candidate on a link that had just come up."""
    monitor = subprocess.Popen(["ip", "-n", namespace, "monitor", "link"], stdout=subprocess.PIPE, text=True)
    assert monitor.stdout is not None
    try:
        shown = subprocess.run(
            ["ip", "-n", namespace, "link", "show", "dev", link], check=True, capture_output=True, text=True
        ).stdout
        while "state UP" not in shown:
            shown = monitor.stdout.readline()
    finally:
        monitor.kill()
        monitor.communicate()


@pytest.fixture
def lonely() -> Iterator[str]:
    """A namespace with nothing but loopback."""
    name = f"p2ph-engines-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "del", name)


@pytest.fixture
def cabled() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a virtual cable, without loopback."""
    names = (f"p2ph-left-{os.getpid()}", f"p2ph-right-{os.getpid()}")
    cables = (f"l{os.getpid()}", f"r{os.getpid()}")
    for name in names:
        ip("netns", "add", name)
    try:
        ip("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", "name", cables[1], "netns", names[1])
        for number, (name, cable) in enumerate(zip(names, cables, strict=True), start=1):
            ip("-n", name, "addr", "add", f"10.99.7.{number}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
        for name, cable in zip(names, cables, strict=True):
            wait_until_running(name, cable)
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


async def start(namespace: str, role: str, engine: str) -> asyncio.subprocess.Process:
    command = ["ip", "netns", "exec", namespace, sys.executable, str(PROGRAM), role, engine]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)


async def line_of(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), 30)


def pass_on(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)


async def connect(places: tuple[str, str], engines: tuple[str, str]) -> list[str]:
    """Join two programs. Returns what each tells of its path."""
    dialler = await start(places[0], "dial", engines[0])
    answerer = await start(places[1], "answer", engines[1])
    try:
        pass_on(answerer, await line_of(dialler))
        pass_on(dialler, await line_of(answerer))
        return [str(json.loads(await line_of(process))) for process in (dialler, answerer)]
    finally:
        for process in (dialler, answerer):
            pass_on(process, b"\n")
            await process.communicate()


@pytest.mark.parametrize("answering", ENGINES)
@pytest.mark.parametrize("dialling", ENGINES)
async def test_two_agents_meet_on_a_machine_without_network(lonely: str, dialling: str, answering: str) -> None:
    for told in await connect((lonely, lonely), (dialling, answering)):
        assert told.startswith(("host 127.0.0.1:", "host [::1]:")), told


@pytest.mark.parametrize("answering", ENGINES)
@pytest.mark.parametrize("dialling", ENGINES)
async def test_two_hosts_meet_over_a_cable(cabled: tuple[str, str], dialling: str, answering: str) -> None:
    told = await connect(cabled, (dialling, answering))
    assert [line.rsplit(":", 1)[0] for line in told] == ["host 10.99.7.1", "host 10.99.7.2"], told
