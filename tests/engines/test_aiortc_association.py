# SPDX-License-Identifier: Apache-2.0
"""What a connected peer may not send to an aiortc association, and how data passes beside the library."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from struct import pack

import pytest
from aiortc.rtcsctptransport import Chunk, DataChunk, ForwardTsnChunk, HeartbeatChunk, SackChunk

from p2p_handoff.engines.aiortc_engine import AiortcConnection, AiortcEngine
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
