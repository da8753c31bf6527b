# SPDX-License-Identifier: Apache-2.0
"""An SDP announces one certificate by SHA-256, or it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.errors import SealError
from p2p_handoff.security.fingerprint import sdp_fingerprint

DIGEST = bytes(range(200, 232))
VALUE = DIGEST.hex(":").upper()
OTHER = bytes(32).hex(":").upper()


def sdp(*attributes: str) -> str:
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", *attributes, "a=setup:actpass", ""])


@pytest.mark.parametrize(
    "attributes",
    [
        (f"a=fingerprint:sha-256 {VALUE}",),
        (f"a=fingerprint:SHA-256 {VALUE.lower()}",),
        (f"a=fingerprint:sha-256 {VALUE}", f"a=fingerprint:sha-256 {VALUE}"),
        (f"a=fingerprint:sha-384 {OTHER}", f"a=fingerprint:sha-256 {VALUE}", f"a=fingerprint:sha-512 {OTHER}"),
        (f"a=fingerprint:sha-256 {VALUE}", f"i=a=fingerprint:sha-256 {OTHER}"),
    ],
)
def test_the_sha_256_fingerprint_is_found(attributes: tuple[str, ...]) -> None:
    assert sdp_fingerprint(sdp(*attributes)) == DIGEST
    assert sdp_fingerprint(sdp(*attributes).replace("\r\n", "\n")) == DIGEST


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ((), "no SHA-256"),
        ((f"a=fingerprint:sha-512 {VALUE}",), "no SHA-256"),
        ((f"a=fingerprint:sha-256 {VALUE}", f"a=fingerprint:sha-256 {OTHER}"), "2 SHA-256"),
        ((f"a=fingerprint:sha-256 {VALUE}:00",), "malformed"),
        ((f"a=fingerprint:sha-256 {VALUE[:-3]}",), "malformed"),
        ((f"a=fingerprint:sha-256 {VALUE.replace(':', '')}",), "malformed"),
        ((f"a=fingerprint:sha-256 {VALUE[:-1]}G",), "malformed"),
        (("a=fingerprint:sha-256",), "malformed"),
        ((f"a=fingerprint:sha-256 {VALUE}", "a=fingerprint:sha-256 "), "2 SHA-256"),
    ],
)
def test_no_two_or_malformed_fingerprints_are_refused(attributes: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(SealError, match=complaint):
        sdp_fingerprint(sdp(*attributes))


@given(st.text())
def test_any_other_text_is_refused_by_a_typed_error(text: str) -> None:
    with pytest.raises(SealError):
        sdp_fingerprint(text)
