# SPDX-License-Identifier: Apache-2.0
"""Datagrams sent together arrive as those that they are, and go one by one where the kernel refuses."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from typing_extensions import override

from p2p_handoff.engines.segmentation import MAX_SEGMENTS, Outlet

SIZE = 1200


class Refusing(socket.socket):
    """A socket that takes no more, for one reason or another."""

    reason = errno.EIO
    asked = 0

    @override
    def sendmsg(self, *args: Any) -> int:
        self.asked += 1
        raise OSError(self.reason, os.strerror(self.reason))


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


@pytest.fixture
async def transport() -> AsyncIterator[asyncio.DatagramTransport]:
    made, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    yield made
    made.close()
    await asyncio.sleep(0)


def refusing(transport: asyncio.DatagramTransport, reason: int) -> Refusing:
    made = Refusing(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    made.reason = reason
    return made


def run_of(count: int, last: int = SIZE) -> list[bytes]:
    return [bytes([number]) * SIZE for number in range(count - 1)] + [bytes([count]) * last]


@pytest.mark.parametrize("datagrams", [run_of(1), run_of(2), run_of(MAX_SEGMENTS), run_of(5, last=7)])
async def test_each_datagram_arrives_by_itself(
    receiver: socket.socket, transport: asyncio.DatagramTransport, datagrams: list[bytes]
) -> None:
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as direct:
        outlet = Outlet(transport, direct)
        outlet.send(b"".join(datagrams), SIZE, receiver.getsockname())
        assert [receiver.recv(4096) for _ in datagrams] == datagrams
        assert outlet._direct is direct, "this kernel can"


async def test_without_a_socket_of_its_own_each_goes_through_the_transport(
    receiver: socket.socket, transport: asyncio.DatagramTransport
) -> None:
    datagrams = run_of(3, last=5)
    Outlet(transport, None).send(b"".join(datagrams), SIZE, receiver.getsockname())
    assert [receiver.recv(4096) for _ in datagrams] == datagrams


async def test_a_kernel_that_cannot_is_asked_once(
    receiver: socket.socket, transport: asyncio.DatagramTransport
) -> None:
    datagrams = run_of(3)
    with refusing(transport, errno.EIO) as direct:
        outlet = Outlet(transport, direct)
        for _ in range(2):
            outlet.send(b"".join(datagrams), SIZE, receiver.getsockname())
            assert [receiver.recv(4096) for _ in datagrams] == datagrams
        assert direct.asked == 1


async def test_a_full_socket_is_left_to_the_event_loop_and_asked_again(
    receiver: socket.socket, transport: asyncio.DatagramTransport
) -> None:
    datagrams = run_of(3)
    with refusing(transport, errno.EAGAIN) as direct:
        outlet = Outlet(transport, direct)
        for _ in range(2):
            outlet.send(b"".join(datagrams), SIZE, receiver.getsockname())
            assert [receiver.recv(4096) for _ in datagrams] == datagrams
        assert direct.asked == 2


@pytest.mark.skipif(sys.platform != "linux", reason="probes need Linux")
async def test_a_probe_arrives_and_leaves_the_socket_as_it_was(
    receiver: socket.socket, transport: asyncio.DatagramTransport
) -> None:
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as direct:
        before = direct.getsockopt(socket.IPPROTO_IP, 10)
        outlet = Outlet(transport, direct)
        assert outlet.can_probe
        outlet.probe(bytes(1472), receiver.getsockname())
        outlet.probe(bytes(65_600), receiver.getsockname())
        outlet.probe(bytes(1392), receiver.getsockname())
        assert [len(receiver.recv(4096)) for _ in range(2)] == [1472, 1392]
        assert direct.getsockopt(socket.IPPROTO_IP, 10) == before


async def test_without_a_socket_of_its_own_nothing_is_probed(transport: asyncio.DatagramTransport) -> None:
    outlet = Outlet(transport, None)
    assert not outlet.can_probe
    outlet.probe(b"x", ("127.0.0.1", 9))
