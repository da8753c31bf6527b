# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

from p2p_handoff.limits import RELAY_OUTBOX_BYTES, RELAY_OUTBOX_HARD_BYTES
from signaling.outbox import Outbox


async def test_frames_leave_in_order_and_then_comes_the_end() -> None:
    outbox = Outbox()
    assert outbox.put(b"1")
    assert outbox.put(b"2")
    outbox.end()
    assert [await outbox.get() for _ in range(3)] == [b"1", b"2", None]


async def test_a_writer_that_waits_is_woken_by_a_frame_and_by_the_end() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.put(b"1")
    assert await waiting == b"1"
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.end()
    assert await waiting is None


async def test_a_full_outbox_is_congested_until_it_is_read() -> None:
    outbox = Outbox()
    outbox.put(bytes(RELAY_OUTBOX_BYTES))
    assert outbox.is_congested
    await outbox.get()
    assert not outbox.is_congested


def test_an_outbox_is_bounded_for_large_frames_and_for_tiny_ones() -> None:
    assert not Outbox().put(bytes(RELAY_OUTBOX_HARD_BYTES))
    outbox = Outbox()
    taken = sum(outbox.put(b"x") for _ in range(RELAY_OUTBOX_HARD_BYTES // 32))
    assert taken < RELAY_OUTBOX_HARD_BYTES // 64


def test_an_ended_outbox_takes_nothing() -> None:
    outbox = Outbox()
    outbox.end()
    assert outbox.is_ended
    assert not outbox.put(b"x")
