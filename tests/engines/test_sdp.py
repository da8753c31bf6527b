# SPDX-License-Identifier: Apache-2.0
"""The few lines of a description that we read and rewrite."""

from __future__ import annotations

import pytest

from p2p_handoff.engines import sdp
from p2p_handoff.errors import EngineError
from p2p_handoff.limits import MAX_ENVELOPE

FINGERPRINT = bytes(range(32))
LINES = (
    "v=0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host",
    "a=candidate:2 1 udp 2130706431 127.0.0.1 5001 typ host",
    "a=candidate:3 1 udp 2130706431 ::1 5002 typ host",
    f"a=fingerprint:sha-256 {FINGERPRINT.hex(':').upper()}",
    "a=fingerprint:sha-384 00:11",
    "a=max-message-size:262144",
)


def text(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def test_the_fingerprint_is_read_in_either_case() -> None:
    assert sdp.sha256_fingerprint(text(*LINES)) == FINGERPRINT
    assert sdp.sha256_fingerprint(text(*LINES).lower()) == FINGERPRINT


@pytest.mark.parametrize(
    "description",
    [
        text("v=0"),
        text(*LINES, LINES[5]),
        text(*LINES[:5]),
        text(*LINES, LINES[1]),
        text(*LINES).replace("m=application", "m=audio"),
        text(*LINES).replace("00:01:02", "00:01"),
        text(*LINES) + "x" * MAX_ENVELOPE,
    ],
    ids=["empty", "two fingerprints", "no fingerprint", "two sections", "audio", "short fingerprint", "too long"],
)
def test_a_description_that_no_engine_can_use_is_refused(description: str) -> None:
    sdp.check_description(text(*LINES))
    with pytest.raises(EngineError):
        sdp.check_description(description)


def test_the_message_limit_is_read_and_replaced() -> None:
    assert sdp.max_message_size(text(*LINES)) == 262_144
    assert sdp.max_message_size(text("v=0")) == 65_536
    smaller = sdp.announce_max_message_size(text(*LINES), 1000)
    assert sdp.max_message_size(smaller) == 1000
    assert smaller.count("max-message-size") == 1


def test_only_the_sha_256_fingerprint_is_kept() -> None:
    kept = sdp.keep_sha256_fingerprint(text(*LINES))
    assert "sha-384" not in kept
    assert sdp.sha256_fingerprint(kept) == FINGERPRINT


def test_loopback_is_hidden_where_there_is_another_address() -> None:
    hidden = sdp.hide_loopback(text(*LINES))
    assert "127.0.0.1" not in hidden
    assert "::1 " not in hidden
    assert "192.0.2.7" in hidden


def test_loopback_is_told_where_there_is_nothing_else() -> None:
    alone = text(*LINES[:2], *LINES[3:])
    assert sdp.hide_loopback(alone) == alone


def test_a_description_without_candidates_is_no_offer() -> None:
    assert sdp.require_candidates(text(*LINES)) == text(*LINES)
    with pytest.raises(EngineError, match="no usable network address"):
        sdp.require_candidates(text(*LINES[:2], *LINES[5:]))


def test_candidates_that_name_a_host_are_dropped() -> None:
    named = "a=candidate:4 1 udp 1 tracker.example 80 typ host"
    kept = sdp.keep_literal_candidates(text(*LINES, named, "a=candidate:"))
    assert kept == text(*LINES)


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r", "\0"])
def test_a_line_that_only_some_readers_see_is_refused(separator: str) -> None:
    hidden = f"a=x:y{separator}a=fingerprint:sha-256 {bytes(32).hex(':')}"
    with pytest.raises(EngineError):
        sdp.check_description(text(*LINES, hidden))


def test_a_malformed_fingerprint_beside_a_good_one_is_refused() -> None:
    with pytest.raises(EngineError, match="this one has 2"):
        sdp.check_description(text(*LINES, "a=fingerprint:sha-256 00:01"))


def test_an_engine_is_given_one_fingerprint_and_addresses_only() -> None:
    named = "a=candidate:4 1 udp 1 tracker.example 80 typ host"
    given = sdp.for_engine(text(*LINES, named))
    assert given == text(*(line for line in LINES if "sha-384" not in line))
