# SPDX-License-Identifier: Apache-2.0
"""Attacks that end or stall an unhardened aiortc connection, and the versions that the hardening fits."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from importlib.metadata import version

import pytest
from aioice.ice import StunProtocol
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_DATA_UNORDERED,
    Chunk,
    DataChunk,
    InboundStream,
)
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.engines.aiortc_engine import AiortcConnection, AiortcEngine
from p2p_handoff.engines.aiortc_hardening import (
    AIOICE_VERSION,
    AIORTC_VERSION,
    BACKOFF_MAX,
    MAX_HELD,
    MAX_UNFINISHED,
    RTO_MIN,
    BoundedStream,
    HardenedProtocol,
    HardenedSctp,
    PeerMisbehavedError,
)
from p2p_handoff.engines.base import IceServer
from p2p_handoff.errors import EngineError
from p2p_handoff.limits import KIB, PEER_DEAD_AFTER
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine_conformance import Recorder, joined, negotiate
from tests.attack.datagrams import chunk_on_unknown_stream, forge, fragment, lying_sack, sctp_of, send_chunk


def test_the_hardening_fits_these_versions() -> None:
    """A new version needs its differences read: the subclasses replace private methods."""
    assert version("aiortc") == AIORTC_VERSION
    assert version("aioice") == AIOICE_VERSION


async def open_under_forgery(dialler: AiortcConnection, answerer: AiortcConnection) -> None:
    offer = await dialler.create_offer()
    answer = await answerer.create_answer(offer)
    forge(offer)
    forge(answer)
    await asyncio.sleep(0.02)
    await dialler.set_answer(answer)
    await asyncio.gather(dialler.wait_open(), answerer.wait_open())


async def test_a_forged_client_hello_does_not_end_the_handshake() -> None:
    engine = AiortcEngine()
    dialler, answerer = engine.connection(), engine.connection()
    try:
        await open_under_forgery(dialler, answerer)
    finally:
        await dialler.close()
        await answerer.close()


async def test_a_client_hello_forged_while_gathering_is_discarded() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
        engine = AiortcEngine(gather_deadline=0.3)
        dialler, answerer = engine.connection([server]), engine.connection()
        gathering = asyncio.ensure_future(dialler.create_offer())
        sockets = dialler._sctp.transport.transport._connection._protocols
        while not sockets:  # noqa: ASYNC110 - the library tells of no socket opening
            await asyncio.sleep(0.01)
        for protocol in sockets:
            candidate = protocol.local_candidate
            forge(f"a=candidate:1 1 udp 1 {candidate.host} {candidate.port} typ host")
        answer = await answerer.create_answer(await gathering)
        await dialler.set_answer(answer)
        await asyncio.gather(dialler.wait_open(), answerer.wait_open())
        await dialler.close()
        await answerer.close()


async def test_the_library_alone_still_takes_datagrams_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, the library has its own filter: drop ours."""
    monkeypatch.setattr(HardenedProtocol, "datagram_received", StunProtocol.datagram_received)
    engine = AiortcEngine(ice_deadline=2.0)
    dialler, answerer = engine.connection(), engine.connection()
    try:
        with pytest.raises(EngineError, match="the connection failed"):
            await open_under_forgery(dialler, answerer)
    finally:
        await dialler.close()
        await answerer.close()


async def test_a_silent_stun_server_costs_no_more_than_the_deadline() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
        connection = AiortcEngine(gather_deadline=0.1).connection([server])
        began = asyncio.get_running_loop().time()
        offer = await connection.create_offer()
        assert asyncio.get_running_loop().time() - began < 2.0
        assert "typ host" in offer
        await connection.close()


# --- reassembly -----------------------------------------------------------------------------------


def fragments(messages: list[bytes], first_tsn: int, first_sequence: int) -> list[DataChunk]:
    """Messages cut into three-byte fragments with consecutive numbers, as a sender does."""
    chunks: list[DataChunk] = []
    for offset, message in enumerate(messages):
        pieces = [message[start : start + 3] for start in range(0, len(message), 3)]
        for number, piece in enumerate(pieces):
            flags = (SCTP_DATA_FIRST_FRAG if number == 0 else 0) | (
                SCTP_DATA_LAST_FRAG if number == len(pieces) - 1 else 0
            )
            chunks.append(fragment(first_tsn + len(chunks), first_sequence + offset, piece, flags))
    return chunks


@given(
    messages=st.lists(st.binary(min_size=1, max_size=10), max_size=6),
    first_tsn=st.sampled_from([0, 7, 2**32 - 3]),
    first_sequence=st.sampled_from([0, 2**16 - 2]),
    shuffle=st.randoms(use_true_random=False),
)
def test_fragments_in_any_order_give_the_messages_in_order(
    messages: list[bytes], first_tsn: int, first_sequence: int, shuffle: random.Random
) -> None:
    chunks = fragments(messages, first_tsn, first_sequence)
    shuffle.shuffle(chunks)
    stream = BoundedStream()
    stream.sequence_number = first_sequence
    received = []
    for chunk in chunks:
        stream.add_chunk(chunk)
        received += [message for _, _, message in stream.pop_messages()]
    assert received == messages
    assert stream._held == 0


def pour_unfinished(stream: InboundStream, size: int) -> None:
    for number in range(size // KIB):
        stream.add_chunk(fragment(number, 0, bytes(KIB), SCTP_DATA_FIRST_FRAG if number == 0 else 0))
        assert list(stream.pop_messages()) == []


def test_a_message_that_does_not_end_is_refused() -> None:
    with pytest.raises(PeerMisbehavedError):
        pour_unfinished(BoundedStream(), MAX_UNFINISHED + 2 * KIB)


def test_the_library_alone_still_keeps_a_message_that_does_not_end() -> None:
    """When this fails, the library has its own bound: drop ours."""
    pour_unfinished(InboundStream(), 2 * MAX_UNFINISHED)


def test_too_much_behind_a_gap_is_refused() -> None:
    stream = BoundedStream()
    for number in range(1, MAX_HELD // (64 * KIB) + 1):
        stream.add_chunk(fragment(number, 1, bytes(64 * KIB), 0))
    with pytest.raises(PeerMisbehavedError):
        stream.add_chunk(fragment(0, 1, b"x", 0))


def test_an_unordered_message_is_refused() -> None:
    with pytest.raises(PeerMisbehavedError):
        BoundedStream().add_chunk(fragment(0, 0, b"x", SCTP_DATA_UNORDERED))


# --- a peer that is connected and hostile -----------------------------------------------------------


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


# --- a path that loses much ------------------------------------------------------------------------


class Timers:
    """Stands for an event loop: keeps how long each timer was to wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def call_later(self, delay: float, _callback: Callable[[], None]) -> object:
        self.waits.append(delay)
        return self

    def cancel(self) -> None:
        pass


async def waiting(monkeypatch: pytest.MonkeyPatch) -> tuple[HardenedSctp, Timers]:
    """An association that has measured a short round trip, and its timers."""

    async def stand_still(_self: HardenedSctp) -> None:
        pass

    monkeypatch.setattr(HardenedSctp, "_transmit", stand_still)
    sctp, timers = sctp_of(AiortcEngine().connection()), Timers()
    sctp._loop = timers  # type: ignore[assignment]  # what an association asks of its loop here
    sctp._last_sacked_tsn = 1
    for _ in range(20):
        sctp._update_rto(0.001)
    return sctp, timers


async def test_a_lost_packet_is_sent_several_times_before_its_peer_would_seem_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sctp, timers = await waiting(monkeypatch)
    sctp._t3_start()
    while sum(timers.waits) < PEER_DEAD_AFTER:
        sctp._t3_expired()
        sctp._t3_start()
    assert timers.waits == [RTO_MIN, RTO_MIN, 2 * RTO_MIN, BACKOFF_MAX, BACKOFF_MAX]
    sctp._last_sacked_tsn = 2
    sctp._t3_restart()
    assert timers.waits[-1] == RTO_MIN, "the peer answered: the patience is the path's again"


async def test_a_timeout_sends_again_only_what_the_peer_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    sctp, _ = await waiting(monkeypatch)
    chunks = [fragment(number, 0, b"data", 0) for number in range(4)]
    for chunk in chunks:
        chunk._acked, chunk._retransmit, chunk._in_flight = chunk.tsn % 2 == 0, False, False
        chunk._book_size, chunk._max_retransmits, chunk._expiry, chunk._abandoned = 4, None, None, False
        sctp._sent_queue.append(chunk)
    sctp._t3_expired()
    assert [chunk._retransmit for chunk in chunks] == [False, True, False, True]


async def test_closing_is_quick_when_the_peer_has_vanished() -> None:
    engine = AiortcEngine()
    dialler, vanished = engine.connection(), engine.connection()
    await negotiate(dialler, vanished)
    dialler.start_receiving(Recorder())
    for protocol in vanished._sctp.transport.transport._connection._protocols:
        protocol.transport.abort()
    dialler.send(Channel.BULK, bytes(64 * KIB))
    began = asyncio.get_running_loop().time()
    await dialler.close()
    await vanished.close()
    assert asyncio.get_running_loop().time() - began < 1.0
    assert engine._closing == set()


async def test_a_library_that_does_not_finish_closing_is_left_behind() -> None:
    engine = AiortcEngine()
    connection = engine.connection()
    await connection.create_offer()
    release = asyncio.Event()
    close_library = connection._peer.close

    async def stubborn() -> None:
        await release.wait()
        await close_library()

    connection._peer.close = stubborn  # type: ignore[method-assign]  # the real one is slow only by chance
    await asyncio.wait_for(connection.close(), 2.0)
    (left,) = engine._closing
    release.set()
    await left
    await asyncio.sleep(0)
    assert engine._closing == set()
