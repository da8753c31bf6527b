# SPDX-License-Identifier: Apache-2.0
"""Offers, answers and refusals survive the wire; malformed ones are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import RemoteProtocolError, SealError
from p2p_handoff.limits import MAX_ENVELOPE, MAX_TITLE
from p2p_handoff.security.exchange import AnswerPublic, OfferPublic
from p2p_handoff.security.offers import SdpAnswer, SdpOffer, SdpRefusal

SDP = "v=0\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
OFFER = SdpOffer(SDP, "aiortc", OfferPublic(b"x" * 32, b"m" * 1184), (2,))
ANSWER = SdpAnswer(SDP, "native", AnswerPublic(b"x" * 32, b"c" * 1088), (2, 3))
REFUSAL = SdpRefusal("busy", "another handoff is under way")
BODIES: list[SdpOffer | SdpAnswer | SdpRefusal] = [OFFER, ANSWER, REFUSAL]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_survives_the_wire(body: SdpOffer | SdpAnswer | SdpRefusal) -> None:
    assert type(body).from_bytes(body.to_bytes()) == body


def test_the_fingerprint_is_read_from_the_session_description() -> None:
    assert OFFER.fingerprint == ANSWER.fingerprint == b"\xab" * 32
    with pytest.raises(SealError):
        _ = SdpOffer("v=0", "aiortc", OFFER.ephemeral, (2,)).fingerprint


BAD_FIELDS: list[tuple[SdpOffer | SdpAnswer | SdpRefusal, str, object]] = [
    (OFFER, "sdp", b"bytes"),
    (OFFER, "engine", "Not A Name"),
    (OFFER, "engine", ""),
    (OFFER, "x25519", b"short"),
    (OFFER, "x25519", "x" * 32),
    (OFFER, "mlkem", b"m" * 1185),
    (OFFER, "versions", 2),
    (OFFER, "versions", ["2"]),
    (ANSWER, "ciphertext", b""),
    (ANSWER, "x25519", None),
    (REFUSAL, "reason", "x" * 33),
    (REFUSAL, "reason", 5),
    (REFUSAL, "text", "x" * (MAX_TITLE + 1)),
]


@pytest.mark.parametrize(("body", "key", "value"), BAD_FIELDS)
def test_a_field_out_of_bounds_is_named(body: SdpOffer | SdpAnswer | SdpRefusal, key: str, value: object) -> None:
    fields: Any = strict_cbor.decode(body.to_bytes(), limit=MAX_ENVELOPE)
    with pytest.raises(RemoteProtocolError, match=key):
        type(body).from_bytes(strict_cbor.encode({**fields, key: value}))
    del fields[key]
    with pytest.raises(RemoteProtocolError, match=key):
        type(body).from_bytes(strict_cbor.encode(fields))


@pytest.mark.parametrize("body", BODIES)
def test_an_unknown_field_is_ignored_unless_it_must_be_understood(body: SdpOffer | SdpAnswer | SdpRefusal) -> None:
    fields: Any = strict_cbor.decode(body.to_bytes(), limit=MAX_ENVELOPE)
    assert type(body).from_bytes(strict_cbor.encode({**fields, "new": 1})) == body
    with pytest.raises(RemoteProtocolError, match="!new"):
        type(body).from_bytes(strict_cbor.encode({**fields, "!new": 1}))


@given(st.sampled_from(BODIES), st.binary(max_size=40))
def test_other_bytes_are_refused_by_a_typed_error(body: SdpOffer | SdpAnswer | SdpRefusal, data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        type(body).from_bytes(data)
