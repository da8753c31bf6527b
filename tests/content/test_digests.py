# SPDX-License-Identifier: Apache-2.0
"""The names of content."""

from __future__ import annotations

import pytest

from p2p_handoff.content.digests import DIGEST_BYTES, digest, verify
from p2p_handoff.errors import IntegrityError


def test_a_digest_is_blake3() -> None:
    # The first test vector of BLAKE3's own suite.
    assert digest(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert len(digest(b"x")) == DIGEST_BYTES


def test_every_kind_of_buffer_has_the_digest_of_its_bytes() -> None:
    assert digest(b"abc") == digest(bytearray(b"abc")) == digest(memoryview(b"xabc")[1:])


def test_content_is_checked_against_its_name() -> None:
    verify(digest(b"abc"), b"abc")
    with pytest.raises(IntegrityError):
        verify(digest(b"abc"), b"abd")
