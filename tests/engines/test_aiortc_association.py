# SPDX-License-Identifier: Apache-2.0
"""What a connected peer may not send to an aiortc association, and how data passes beside the library."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from struct import pack

import pytest
from aiortc.rtcsctptransport import Chunk, DataChunk, ForwardTsnChunk, HeartbeatChunk, SackChunk

from p2p_handoff.engines.aiortc_association import SLICE
from p2p_handoff.engines.aiortc_engine import AiortcConnection, AiortcEngine
from p2p_handoff.engines.sctp_sending import PAYLOAD, Sender
from p2p_handoff.engines.segmentation import Outlet
from p2p_handoff.limits import KIB
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine_conformance import joined
from tests.attack.datagrams import chunk_on_unknown_stream, hostile_chunk, lying_sack, sctp_of, send_chunk


async def test_an_oversized_message_ends_the_connection_early() -> None:
    async with joined(AiortcEngine, AiortcEngine) as ends:
        sctp_of(ends.dialler)._remote_max_message_size = 0
        ends.dialler._transmit(Channel.BULK, bytes(512 * KIB))  # type: ignore[attr-defined]  # around our own check
        reason = await ends.at_answerer.wait_lost()
        assert "accepts" not in reason, "it was reassembled whole before it was refused"


async def test_text_on_a_channel_ends_the_connection() -> None:
    async with joined(AiortcEngine, AiortcEngine) as ends:
        assert isinstance(ends.dialler, AiortcConnection)
        ends.dialler._channels[Channel.CONTROL].send("text")
        assert await ends.at_answerer.wait_lost()


@pytest.mark.parametrize("hostile", [lying_sack, chunk_on_unknown_stream])
async def test_a_malformed_chunk_ends_the_connection_and_nothing_else(
    hostile: Callable[[], Chunk], caplog: pytest.LogCaptureFixture
) -> None:
    async with joined(AiortcEngine, AiortcEngine) as ends:
        sctp = sctp_of(ends.dialler)
        await send_chunk(sctp, hostile())
        assert await ends.at_answerer.wait_lost()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(hostile_chunk(SackChunk.type, pack("!LLHH", 5, 0, 0, 0)), id="has what was never sent"),
        pytest.param(hostile_chunk(DataChunk.type, pack("!LHHL", 0, 0, 0, 53)), id="data without data"),
        pytest.param(hostile_chunk(ForwardTsnChunk.type, pack("!L", 9)), id="skips data"),
    ],
)
async def test_a_peer_that_cannot_be_believed_is_left(chunk: Chunk, caplog: pytest.LogCaptureFixture) -> None:
    async with joined(AiortcEngine, AiortcEngine) as ends:
        dialler, answerer = sctp_of(ends.dialler), sctp_of(ends.answerer)
        if chunk.type == SackChunk.type:
            chunk.body = pack("!L", (answerer._local_tsn + 5) % 2**32) + chunk.body[4:]
        await send_chunk(dialler, chunk)
        assert await ends.at_answerer.wait_lost()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_chunks_for_the_library_do_not_overtake_data() -> None:
    """A packet that the library must deal with, and data right behind it and in it."""
    async with joined(AiortcEngine, AiortcEngine) as ends:
        sctp = sctp_of(ends.dialler)
        heartbeat = HeartbeatChunk()
        heartbeat.params = [(1, b"are you there")]
        for number in range(3):
            ends.dialler.send(Channel.BULK, b"%d" % number)
            await asyncio.sleep(0)
            await send_chunk(sctp, heartbeat)
        assert await ends.at_answerer.wait_for(Channel.BULK, 3) == [b"0", b"1", b"2"]


# --- the size of the path -----------------------------------------------------------------------------


async def test_many_messages_of_one_packet_are_many_steps_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    now = 0

    def slow(_channel: Channel, _message: bytes) -> None:
        until = time.perf_counter() + SLICE
        while time.perf_counter() < until:
            pass
        steps.append(now)

    async with joined(AiortcEngine, AiortcEngine) as ends:
        monkeypatch.setattr(ends.at_answerer, "message_received", slow)
        for _ in range(20):
            ends.dialler.send(Channel.CONTROL, b"small")
        while len(steps) < 20:
            await asyncio.sleep(0)
            now += 1
    assert len(set(steps)) == 20, "one packet brought them, and each is as much as a step may be"


def payload_of(connection: object) -> int:
    sender = sctp_of(connection)._sender
    assert sender is not None
    return sender.window.unit


@pytest.mark.skipif(sys.platform != "linux", reason="probes need Linux")
async def test_a_path_that_carries_more_gets_larger_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asyncio.Event()
    enlarge = Sender.enlarge

    def noticed(self: Sender, payload: int) -> None:
        enlarge(self, payload)
        found.set()

    monkeypatch.setattr(Sender, "enlarge", noticed)
    async with joined(AiortcEngine, AiortcEngine) as ends:
        for _ in range(2):
            ends.dialler.send(Channel.BULK, bytes(60 * KIB))
        await asyncio.wait_for(found.wait(), 10)
        assert payload_of(ends.dialler) > PAYLOAD
        ends.dialler.send(Channel.BULK, bytes(range(256)) * 200)
        assert (await ends.at_answerer.wait_for(Channel.BULK, 3))[2] == bytes(range(256)) * 200


async def test_a_path_that_swallows_what_is_too_large_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    swallowed: list[bytes] = []
    monkeypatch.setattr(Outlet, "probe", lambda _self, datagram, _address: swallowed.append(datagram))
    async with joined(AiortcEngine, AiortcEngine) as ends:
        for _ in range(4):
            ends.dialler.send(Channel.BULK, bytes(60 * KIB))
        await ends.at_answerer.wait_for(Channel.BULK, 4)
        assert swallowed
        assert payload_of(ends.dialler) == PAYLOAD


async def test_a_path_that_carries_less_than_before_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one finds out anew; this one would stand still for ever, while small pings pass."""
    monkeypatch.setattr("p2p_handoff.engines.sctp_sending.BLOCKED_AFTER", 2)
    send = Outlet.send

    def narrow(self: Outlet, datagrams: bytes, size: int, address: tuple[str, int]) -> None:
        if size <= 1280 - 28:
            send(self, datagrams, size, address)

    async with joined(AiortcEngine, AiortcEngine) as ends:
        ends.dialler.send(Channel.BULK, b"there")
        await ends.at_answerer.wait_for(Channel.BULK, 1)
        monkeypatch.setattr(Outlet, "send", narrow)
        sender = sctp_of(ends.dialler)._sender
        assert sender is not None
        sender.enlarge(1400)
        ends.dialler.send(Channel.BULK, bytes(60 * KIB))
        assert await ends.at_dialler.wait_lost()


async def test_the_timer_follows_a_deadline_that_comes_nearer() -> None:
    """The first answer is awaited for a second, the next on a quick path for less: a loss is not noticed late."""
    async with joined(AiortcEngine, AiortcEngine) as ends:
        ends.dialler.send(Channel.BULK, b"there")
        await ends.at_answerer.wait_for(Channel.BULK, 1)
        sctp = sctp_of(ends.dialler)
        assert sctp._sender is not None
        for nearer in (5.0, 1.0, 3.0):
            sctp._sender.deadline = sctp._now() + nearer
            sctp._set_alarm()
            assert sctp._alarm is not None
            assert sctp._alarm.when() <= sctp._sender.deadline
