# SPDX-License-Identifier: Apache-2.0
"""Identifiers are lower-case base32 of a fixed length, and nothing else is one."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff import ids
from p2p_handoff.errors import RemoteProtocolError

ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz234567")
KINDS = [
    (ids.new_session_id, ids.LONG_ID_LENGTH),
    (ids.new_txn_id, ids.LONG_ID_LENGTH),
    (ids.new_room_id, ids.LONG_ID_LENGTH),
    (ids.new_token, ids.TOKEN_LENGTH),
]


@pytest.mark.parametrize(("make", "length"), KINDS)
def test_a_fresh_id_has_its_length_and_parses(make: Callable[[ids.Entropy], str], length: int) -> None:
    fresh = make(os.urandom)
    assert len(fresh) == length
    assert ids.parse_id(fresh, length) == fresh


@pytest.mark.parametrize(("make", "_length"), KINDS)
def test_an_id_is_made_of_the_given_entropy_alone(make: Callable[[ids.Entropy], str], _length: int) -> None:
    assert make(bytes) == make(bytes) != make(lambda count: b"\x01" * count)


def test_a_device_id_is_160_bits_of_a_labelled_digest() -> None:
    key = bytes(range(32))
    digest = hashlib.sha256(b"p2p-handoff device v1" + key).digest()
    assert ids.device_id(key) == base64.b32encode(digest[:20]).decode().lower()
    assert len(ids.device_id(key)) == ids.DEVICE_ID_LENGTH


@pytest.mark.parametrize("text", ["", "a", "abcdefg1", "ABCDEFGH", "abcdefg=", "abcdefghi", "abcdefg\n", "abcdef é"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        ids.parse_id(text, ids.TOKEN_LENGTH)


@given(st.text(max_size=40).filter(lambda text: not set(text) <= ALPHABET or len(text) != ids.TOKEN_LENGTH))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="8 characters"):
        ids.parse_id(text, ids.TOKEN_LENGTH)


@given(st.text(alphabet=sorted(ALPHABET), min_size=8, max_size=8))
def test_any_eight_letters_of_the_alphabet_are_a_token(text: str) -> None:
    assert ids.parse_id(text, ids.TOKEN_LENGTH) == text
