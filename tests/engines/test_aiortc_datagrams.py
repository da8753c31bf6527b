# SPDX-License-Identifier: Apache-2.0
"""Datagrams of an open aiortc connection go by plain calls, many at once, and none of them ends it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioice.ice import StunProtocol

from p2p_handoff.engines.aiortc_engine import AiortcEngine
from p2p_handoff.engines.aiortc_hardening import RECEIVE_BUFFER, HardenedIce, HardenedProtocol
from p2p_handoff.engines.sctp_sending import PAYLOAD
from p2p_handoff.limits import KIB, MAX_FRAME
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine_conformance import Joined, joined
from tests.attack.datagrams import sctp_of


@pytest.fixture
async def ends() -> AsyncIterator[Joined]:
    """A connection that has carried something, so that the handshake is over at both ends."""
    async with joined(AiortcEngine, AiortcEngine) as made:
        made.dialler.send(Channel.BULK, b"there")
        await made.at_answerer.wait_for(Channel.BULK, 1)
        made.answerer.send(Channel.BULK, b"and back")
        await made.at_dialler.wait_for(Channel.BULK, 1)
        yield made


def ice_of(connection: object) -> HardenedIce:
    ice = sctp_of(connection).transport.transport._connection
    assert isinstance(ice, HardenedIce)
    return ice


async def test_nothing_passes_through_the_library_s_queue(ends: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[bytes] = []
    monkeypatch.setattr(ice_of(ends.answerer), "data_received", lambda data, _component: queued.append(data))
    ends.dialler.send(Channel.BULK, bytes(60 * KIB))
    await ends.at_answerer.wait_for(Channel.BULK, 2)
    assert queued == []


async def test_datagrams_that_wait_are_read_at_once(ends: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    woken = 0
    receive = HardenedProtocol.datagram_received

    def count(self: HardenedProtocol, data: bytes | str, addr: tuple[Any, ...]) -> None:
        nonlocal woken
        woken += self._ice is ice_of(ends.answerer)
        receive(self, data, addr)

    monkeypatch.setattr(HardenedProtocol, "datagram_received", count)
    for _ in range(4):
        ends.dialler.send(Channel.BULK, bytes(MAX_FRAME))
    await ends.at_answerer.wait_for(Channel.BULK, 5)
    assert 0 < woken < 4 * MAX_FRAME // PAYLOAD // 2


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x17", id="one byte"),
        pytest.param(b"\x17\xfe\xfd" + bytes(10), id="an empty record"),
        pytest.param(b"\x17\xfe\xfd\0\1\0\0\0\0\0\1\0\x20" + bytes(32), id="a record that does not open"),
        pytest.param(b"\x15\xfe\xfd\0\0\0\0\0\0\0\1\0\2\2\x28", id="an alert that anybody could have sent"),
        pytest.param(b"\x80" * 40, id="media"),
        pytest.param(bytes(2000), id="not even STUN"),
    ],
)
async def test_junk_from_the_peer_s_own_address_is_ignored(ends: Joined, datagram: bytes) -> None:
    pair = ice_of(ends.dialler)._nominated[1]
    pair.protocol.transport.sendto(datagram, pair.remote_addr)
    ends.dialler.send(Channel.BULK, b"behind it")
    assert await ends.at_answerer.wait_for(Channel.BULK, 2) == [b"there", b"behind it"]


async def test_the_end_of_dtls_is_the_end_of_the_connection(ends: Joined) -> None:
    await sctp_of(ends.dialler).transport.stop()
    assert await ends.at_answerer.wait_lost()
    assert ice_of(ends.answerer).direct is None


async def test_a_socket_takes_all_that_may_be_under_way_if_the_system_grants_it(ends: Joined) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        granted = asked.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    told = ice_of(ends.answerer)._nominated[1].protocol.transport.get_extra_info("socket")
    assert told.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == granted
    assert sctp_of(ends.answerer)._advertised_rwnd <= RECEIVE_BUFFER


async def test_a_closed_socket_is_read_no_more(ends: Joined) -> None:
    protocols = list(ice_of(ends.answerer)._protocols)
    assert all(isinstance(protocol, HardenedProtocol) and protocol._socket is not None for protocol in protocols)
    await ends.answerer.close()
    for protocol in protocols:
        assert isinstance(protocol, HardenedProtocol)
        assert protocol._socket is None


async def test_the_library_alone_still_reads_one_datagram_at_a_time() -> None:
    """When this fails, the library reads on by itself: drop ours."""
    assert not hasattr(StunProtocol, "_take_what_waits")
    assert "recv" not in StunProtocol.datagram_received.__code__.co_names
