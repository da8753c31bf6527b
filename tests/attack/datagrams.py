# SPDX-License-Identifier: Apache-2.0
"""Datagrams, chunks and packets that no honest WebRTC implementation sends, for attacks and tests of engines."""

from __future__ import annotations

import socket
from struct import pack

from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    Chunk,
    DataChunk,
    SackChunk,
    serialize_packet,
)
from OpenSSL import SSL

from p2p_handoff.engines.aiortc_association import HardenedSctp
from p2p_handoff.engines.aiortc_engine import AiortcConnection

CLIENT_HELLO = bytes.fromhex("16feff0000000000000000000a") + bytes(10)
"""A DTLS handshake record with a malformed body: OpenSSL answers with a fatal alert."""


def genuine_client_hello() -> bytes:
    """The first datagram of a real DTLS client, with a good cookie-less ClientHello."""
    client = SSL.Connection(SSL.Context(SSL.DTLS_METHOD), None)
    client.set_connect_state()
    try:
        client.do_handshake()
    except SSL.WantReadError:
        return client.bio_read(4096)
    raise AssertionError("the handshake needs no answer")


def forge(description: str) -> None:
    """Send a forged ClientHello from a fresh socket to every candidate of a description."""
    for line in description.splitlines():
        if line.startswith("a=candidate:"):
            address, port = line.split()[4:6]
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as attacker:
                attacker.sendto(CLIENT_HELLO, (address, int(port)))


def fragment(tsn: int, sequence: int, data: bytes, flags: int) -> DataChunk:
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.stream_seq, chunk.user_data = tsn % 2**32, sequence % 2**16, data
    return chunk


def sctp_of(connection: object) -> HardenedSctp:
    assert isinstance(connection, AiortcConnection)
    assert isinstance(connection._sctp, HardenedSctp)
    return connection._sctp


def lying_sack() -> Chunk:
    """A SACK that announces more gap blocks than it has."""
    return hostile_chunk(SackChunk.type, pack("!LLHH", 0, 0, 9, 0))


def chunk_on_unknown_stream() -> Chunk:
    return hostile_chunk(DataChunk.type, pack("!LHHL", 1, 77, 0, 53) + b"x")


def hostile_chunk(kind: int, body: bytes) -> Chunk:
    chunk = Chunk(flags=SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG, body=body)
    chunk.type = kind
    return chunk


async def send_chunk(sctp: HardenedSctp, chunk: Chunk) -> None:
    """Send one chunk in a packet of its own; a data chunk gets the next number."""
    if chunk.type == DataChunk.type:
        chunk.body = pack("!L", sctp._local_tsn) + chunk.body[4:]
    packet = serialize_packet(sctp._local_port, sctp._remote_port or 0, sctp._remote_verification_tag, chunk)
    await sctp.transport._send_data(packet)
