# SPDX-License-Identifier: Apache-2.0
"""Attacks that end or stall an unhardened aiortc connection, and the versions that the hardening fits."""

from __future__ import annotations

import asyncio
import socket
from importlib.metadata import version

import pytest
from aioice.ice import StunProtocol
from aiortc.rtcsctptransport import SCTP_DATA_FIRST_FRAG, InboundStream

from p2p_handoff.engines.aiortc_engine import AiortcConnection, AiortcEngine
from p2p_handoff.engines.aiortc_hardening import AIOICE_VERSION, AIORTC_VERSION, HardenedProtocol
from p2p_handoff.engines.base import IceServer
from p2p_handoff.engines.sctp_receiving import MAX_UNFINISHED
from p2p_handoff.errors import EngineError
from p2p_handoff.limits import KIB
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine_conformance import Recorder, negotiate
from tests.attack.datagrams import forge, fragment


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


def test_the_library_alone_still_keeps_a_message_that_does_not_end() -> None:
    """When this fails, the library has its own bound."""
    stream = InboundStream()
    for number in range(2 * MAX_UNFINISHED // KIB):
        stream.add_chunk(fragment(number, 0, bytes(KIB), SCTP_DATA_FIRST_FRAG if number == 0 else 0))
        assert list(stream.pop_messages()) == []


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
