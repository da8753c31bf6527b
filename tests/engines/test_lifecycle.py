# SPDX-License-Identifier: Apache-2.0
"""The edges that all engines share, on the engine that is easiest to steer."""

from __future__ import annotations

import asyncio

import pytest

from p2p_handoff.engines.lifecycle import BACKLOG_LIMIT
from p2p_handoff.engines.memory import MemoryConnection, MemoryEngine
from p2p_handoff.errors import EngineError, LocalProtocolError
from p2p_handoff.limits import KIB
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine_conformance import Recorder, joined, negotiate


async def test_sending_before_the_connection_is_open_is_refused() -> None:
    with pytest.raises(EngineError, match="not open yet"):
        MemoryEngine().connection().send(Channel.CONTROL, b"x")


async def test_start_receiving_twice_is_a_defect() -> None:
    async with joined(MemoryEngine, MemoryEngine) as ends:
        with pytest.raises(LocalProtocolError, match="twice"):
            ends.dialler.start_receiving(Recorder())


async def test_a_peer_that_floods_a_side_that_does_not_listen_is_cut_off() -> None:
    async with joined(MemoryEngine, MemoryEngine, listen=False) as ends:
        for _ in range(BACKLOG_LIMIT // (64 * KIB) + 1):
            ends.dialler.send(Channel.BULK, bytes(64 * KIB))
            await ends.dialler.wait_queued_below(Channel.BULK, 0)
        with pytest.raises(EngineError, match="before it listens"):
            ends.answerer.send(Channel.CONTROL, b"x")


async def test_a_message_larger_than_announced_ends_the_connection() -> None:
    receiver, sender = MemoryEngine(max_message_size=10).connection(), MemoryEngine().connection()
    await negotiate(receiver, sender)
    recorder = Recorder()
    receiver.start_receiving(recorder)
    assert isinstance(sender, MemoryConnection)
    sender._transmit(Channel.BULK, bytes(11))
    assert "more than this side accepts" in await recorder.wait_lost()
    assert recorder.messages[Channel.BULK] == []


async def test_waiters_are_woken_in_the_order_of_what_they_wait_for() -> None:
    async with joined(MemoryEngine, MemoryEngine) as ends:
        for _ in range(10):
            ends.dialler.send(Channel.BULK, bytes(1000))
        woken: list[int] = []

        async def wait(size: int) -> None:
            await ends.dialler.wait_queued_below(Channel.BULK, size)
            woken.append(size)

        await asyncio.gather(wait(0), wait(9000), wait(5000))
        assert woken == [9000, 5000, 0]


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    async with joined(MemoryEngine, MemoryEngine) as ends:
        ends.dialler.send(Channel.BULK, b"x")
        waiter = asyncio.ensure_future(ends.dialler.wait_queued_below(Channel.BULK, 0))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait({waiter})
        assert isinstance(ends.dialler, MemoryConnection)
        assert ends.dialler._waiters[Channel.BULK] == {}
