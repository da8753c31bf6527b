# SPDX-License-Identifier: Apache-2.0
"""Only what the peer answered counts for the size of a path, and the search ends."""

from __future__ import annotations

import pytest
from aiortc.rtcsctptransport import CHUNK_TYPES, HeartbeatChunk, parse_packet

from p2p_handoff.engines.path_size import PACKET_SIZES, ROUNDS, PathSize
from p2p_handoff.engines.sctp_packets import Fragment, Framing, data_chunk
from p2p_handoff.engines.sctp_sending import PAYLOAD

HEADERS = 28 + 37
"""IPv4, UDP and DTLS 1.2 with AES-GCM."""


def packets(search: PathSize) -> list[bytes]:
    return [Framing(5000, 5000, 7).packet(chunk) for chunk in search.probes()]


def told(packet: bytes) -> bytes:
    """What a peer sends back."""
    (heartbeat,) = parse_packet(packet)[3]
    assert isinstance(heartbeat, HeartbeatChunk)
    ((kind, information),) = heartbeat.params
    assert kind == 1
    return information


def test_a_probe_fills_the_packet_and_the_library_reads_it_as_a_heartbeat() -> None:
    made = packets(PathSize(HEADERS))
    fitting = sorted((size - HEADERS) // 4 * 4 for size in PACKET_SIZES)
    assert [len(packet) for packet in made] == fitting
    assert all(told(packet) for packet in made)
    assert 0x84 not in CHUNK_TYPES, "padding is skipped, as its first two bits ask for (RFC 9260 §3.2)"


@pytest.mark.parametrize("headers", [28 + 37, 48 + 37, 28 + 29, 48 + 128])
def test_data_of_the_size_found_makes_a_packet_as_large_as_the_probe(headers: int) -> None:
    search = PathSize(headers)
    for packet in packets(search):
        payload = search.answered(told(packet))
        assert payload is not None
        assert payload > PAYLOAD
        filled = Framing(5000, 5000, 7).packet(data_chunk(Fragment(1, 3, 2, 0, 53, bytes(payload))))
        assert len(filled) == len(packet)


def test_the_largest_answer_holds_whatever_the_order() -> None:
    search = PathSize(HEADERS)
    answers = [told(packet) for packet in packets(search)]
    assert search.answered(answers[2]) == 1396
    assert [search.answered(answer) for answer in answers] == [None, None, None, 1404]
    assert packets(search) == [], "nothing larger is left to try"


def test_what_was_not_answered_is_tried_again_and_then_left() -> None:
    search = PathSize(HEADERS)
    rounds = [packets(search) for _ in range(ROUNDS + 2)]
    assert [len(made) for made in rounds] == [len(PACKET_SIZES)] * ROUNDS + [0, 0]


@pytest.mark.parametrize(
    "information", [b"", b"pathsize", b"pathsize\xff\xff", b"pathsize\0\1", b"pathsize" + bytes(3000), b"x" * 10]
)
def test_an_answer_to_no_probe_teaches_nothing(information: bytes) -> None:
    search = PathSize(HEADERS)
    search.probes()
    assert search.answered(information) is None
