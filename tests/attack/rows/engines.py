# SPDX-License-Identifier: Apache-2.0
"""Datagrams from anywhere, and SCTP from a linked device that writes its own packets; against both engines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from struct import pack
from typing import Final

from aiortc.rtcsctptransport import SCTP_DATA_FIRST_FRAG, DataChunk, ForwardTsnChunk

from p2p_handoff.errors import HandoffError
from p2p_handoff.limits import KIB, MIB
from p2p_handoff.protocol.channels import Channel
from tests.agent.devices import fill
from tests.attack.attack import Attack, Seen, hold
from tests.attack.datagrams import (
    CLIENT_HELLO,
    chunk_on_unknown_stream,
    fragment,
    genuine_client_hello,
    hostile_chunk,
    lying_sack,
    sctp_of,
    send_chunk,
)
from tests.attack.scene import Scene, scene

_OPENED: Final = 3
_UNFINISHED: Final = 12 * MIB


def _ports(pid: int) -> set[tuple[int, str, int]]:
    """Addresses of a process's UDP sockets: what somebody who scans the machine finds."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(link).removeprefix("socket:[").rstrip("]"))
    found = set()
    for family, name in ((socket.AF_INET, "udp"), (socket.AF_INET6, "udp6")):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((int(family), _address(address), int(port, 16)))
    return found


def _address(text: str) -> str:
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    raw = b"".join(words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


@contextmanager
def _forging(pid: int) -> Iterator[list[int]]:
    """While the block lasts, every UDP socket of a process gets forged datagrams; counts them."""
    over, sent = threading.Event(), [0]
    forged = [
        CLIENT_HELLO,
        genuine_client_hello(),
        b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28",  # a fatal alert
        b"\x17\xfe\xfd" + os.urandom(200),
        b"\x00\x01\x00\x08\x21\x12\xa4\x42" + os.urandom(20),  # STUN without credentials
        b"\x80" + os.urandom(100),
        b"",
        *(os.urandom(size) for size in (1, 13, 100, 1200)),
    ]

    def forge() -> None:
        with contextlib.ExitStack() as stack:
            attackers = {
                family: stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                for family in (socket.AF_INET, socket.AF_INET6)
            }
            while not over.wait(0.005):
                for family, address, port in _ports(pid):
                    for data in forged:
                        with contextlib.suppress(OSError):
                            attackers[socket.AddressFamily(family)].sendto(data, (address, port))
                            sent[0] += 1

    thread = threading.Thread(target=forge, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


async def datagrams(root: Path, engine: str) -> Seen:
    """Connections are opened and used while forged datagrams arrive at every socket."""
    async with scene(root, engine=engine) as stage:
        async with stage.victim.measured() as load:
            with _forging(stage.victim.pid) as sent:
                for number in range(_OPENED):
                    wire = await stage.intruder.parts.dialer.connect(stage.device)
                    if number < _OPENED - 1:
                        await wire.close()
                        await wire.ended()
                while sent[0] < 2000:
                    await asyncio.sleep(0.02)
                folder = fill(root / "intruder" / "gift", {"data.bin": os.urandom(MIB)})
                report = await stage.intruder.to("victim", folder)
        hold(report.outcome == "done", f"a handoff under forgery: {report.outcome} ({report.text})")
        await stage.check_untouched()
    load.check()
    opened = f"{_OPENED} of {_OPENED} connections opened"
    return Seen(f"{sent[0]} forged datagrams: {opened}, 1 MiB handed over", load.growth, load.stall)


async def _unfinished(stage: Scene) -> None:
    wire = await stage.wire()
    sctp = sctp_of(wire._engine)
    for number in range(_UNFINISHED // KIB):
        if not wire.is_open:
            return
        chunk = fragment(sctp._local_tsn, 0, bytes(KIB), SCTP_DATA_FIRST_FRAG if number == 0 else 0)
        chunk.stream_id, chunk.protocol = Channel.BULK.value, 53
        chunk.stream_seq = sctp._outbound_stream_seq.get(Channel.BULK.value, 0)
        sctp._local_tsn = (sctp._local_tsn + 1) % 2**32
        await sctp._send_chunk(chunk)
        if number % 16 == 0:
            await asyncio.sleep(0)


async def _oversized(stage: Scene) -> None:
    wire = await stage.wire()
    sctp_of(wire._engine)._remote_max_message_size = 0
    wire._engine._transmit(Channel.BULK, bytes(512 * KIB))  # type: ignore[attr-defined]  # around our own check


async def _chunk(stage: Scene, make: Callable[[], object]) -> None:
    wire = await stage.wire()
    await send_chunk(sctp_of(wire._engine), make())  # type: ignore[arg-type]  # a chunk


def _data(stream: int, protocol: int, data: bytes) -> object:
    return hostile_chunk(DataChunk.type, pack("!LHHL", 0, stream, 0, protocol) + data)


def _skipping() -> object:
    return hostile_chunk(ForwardTsnChunk.type, pack("!LHH", 2**31, 0, 9))


SCTP: Final[dict[str, Callable[[Scene], Awaitable[None]]]] = {
    "a message of 12 MiB that does not end": _unfinished,
    "a message of 512 KiB": _oversized,
    "a SACK with gaps that it does not have": partial(_chunk, make=lying_sack),
    "data on an unknown stream": partial(_chunk, make=chunk_on_unknown_stream),
    "a channel opened with rubbish": partial(_chunk, make=lambda: _data(1, 50, b"\x03\x00\xff\xff")),
    "text that is no UTF-8": partial(_chunk, make=lambda: _data(1, 51, b"\xff\xfe\xfd")),
    "an empty DCEP message": partial(_chunk, make=lambda: _data(3, 50, b"")),
    "data that is skipped": partial(
        _chunk, make=lambda: hostile_chunk(ForwardTsnChunk.type, pack("!LHH", 2**31, 0, 9))
    ),
    "a chunk cut short": partial(_chunk, make=lambda: hostile_chunk(DataChunk.type, b"\x00\x00")),
}
"""What a peer may send inside of DTLS, by name."""


async def packets(root: Path, engine: str) -> Seen:
    """Every hostile packet on a connection of its own; afterwards a handoff must work."""
    async with scene(root, engine=engine, intruders="aiortc") as stage:
        async with stage.victim.measured() as load:
            ended = 0
            for deed in SCTP.values():
                wire = await stage.wire()
                with contextlib.suppress(HandoffError, ConnectionError):
                    await deed(stage)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wire.wait_closed(), 2.0)
                ended += not wire.is_open
                await wire.close()
            report = await stage.intruder.to("victim", fill(root / "intruder" / "gift", {"a": b"b"}))
        hold(report.outcome == "done", f"a handoff afterwards: {report.outcome} ({report.text})")
        await stage.check_untouched()
    load.check()
    return Seen(f"{len(SCTP)} cases, {ended} ended the connection, the agent went on", load.growth, load.stall)


def _rows() -> Iterator[Attack]:
    for engine in ("aiortc", "wrtc"):
        yield Attack(
            f"datagrams-{engine}",
            "off the path",
            f"forges ClientHellos, alerts, STUN and junk at every socket, before and after the handshake ({engine})",
            "every connection opens, a handoff passes",
            partial(datagrams, engine=engine),
        )
        yield Attack(
            f"sctp-{engine}",
            "linked device",
            f"sends SCTP without end, beyond every size, malformed ({engine})",
            "the connection ends or goes on, the agent lives and works, at most 64 MiB and 50 ms a step",
            partial(packets, engine=engine),
        )


ATTACKS: Final = tuple(_rows())
