# SPDX-License-Identifier: Apache-2.0
"""What is particular to libwebrtc; the common promises are in test_conformance."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest
from typing_extensions import override

from p2p_handoff.engines.aiortc_engine import AiortcEngine
from p2p_handoff.engines.base import IceServer
from p2p_handoff.engines.native_engine import NativeEngine, available
from p2p_handoff.errors import EngineError
from p2p_handoff.limits import MAX_FRAME, MAX_NATIVE_FRAME
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine_conformance import Recorder, joined, negotiate

pytestmark = pytest.mark.skipif(not available(), reason="the extra `fast` is not installed")


def test_importing_the_module_does_not_load_the_library() -> None:
    code = "import sys, p2p_handoff.engines.native_engine as n; assert n.available(); assert 'wrtc' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_messages_between_native_engines_may_be_larger() -> None:
    async with joined(NativeEngine, NativeEngine) as ends:
        assert ends.dialler.max_message_size == MAX_NATIVE_FRAME
    async with joined(NativeEngine, AiortcEngine) as ends:
        assert ends.dialler.max_message_size == MAX_FRAME


async def test_a_server_that_is_no_server_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="STUN or TURN"):
        NativeEngine().connection([IceServer("http://example.org")])


async def test_a_silent_stun_server_costs_no_more_than_the_deadline() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
        connection = NativeEngine(gather_deadline=0.1).connection([server])
        began = asyncio.get_running_loop().time()
        offer = await connection.create_offer()
        assert asyncio.get_running_loop().time() - began < 2.0
        assert "typ host" in offer
        await connection.close()


async def test_callbacks_come_on_the_event_loop() -> None:
    loop = asyncio.get_running_loop()
    seen: list[asyncio.AbstractEventLoop] = []

    class Watcher(Recorder):
        @override
        def message_received(self, channel: Channel, message: bytes) -> None:
            seen.append(asyncio.get_running_loop())
            super().message_received(channel, message)

    first, second = NativeEngine().connection(), NativeEngine().connection()
    await negotiate(first, second)
    watcher = Watcher()
    second.start_receiving(watcher)
    first.send(Channel.CONTROL, b"x")
    await watcher.wait_for(Channel.CONTROL, 1)
    await first.close()
    await second.close()
    assert seen == [loop]
