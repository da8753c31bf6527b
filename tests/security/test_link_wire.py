# SPDX-License-Identifier: Apache-2.0
"""Link messages survive the wire, and stay where they belong: in the clear or sealed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.security.link_terms import AbortReason, LinkKind, Purpose, Role
from p2p_handoff.security.link_wire import (
    MAX_LINK_MESSAGE,
    Abort,
    ClearMessage,
    Confirm,
    Decision,
    Decline,
    Hello,
    Proof,
    Reveal,
    Sealed,
    SealedMessage,
    decode_clear,
    decode_sealed,
    encode,
)
from tests.security.link_party import LAPTOP

CLEAR: list[ClearMessage] = [
    Hello(Role.OPENER, Purpose.LINK, (1, 2), b"p" * 33),
    Hello(Role.JOINER, Purpose.COPY, (), b""),
    Confirm(b"m" * 32),
    Sealed(b"frame"),
    *map(Abort, AbortReason),
]
SEALED: list[SealedMessage] = [
    Reveal(LAPTOP.public, "laptop"),
    Proof(b"m" * 32, b"s" * 64),
    Decision(LinkKind.OWN, 0, 0),
    Decision(LinkKind.OTHER, 3, 2**53),
    Decline(),
]


@pytest.mark.parametrize("message", CLEAR)
def test_a_message_in_the_clear_survives_the_wire(message: ClearMessage) -> None:
    assert decode_clear(encode(message)) == message
    with pytest.raises(RemoteProtocolError):
        decode_sealed(encode(message))


@pytest.mark.parametrize("message", SEALED)
def test_a_sealed_message_survives_the_wire(message: SealedMessage) -> None:
    assert decode_sealed(encode(message)) == message
    with pytest.raises(RemoteProtocolError):
        decode_clear(encode(message))


def test_the_largest_reveal_fits() -> None:
    largest = encode(Sealed(encode(Reveal(LAPTOP.public, "\N{GRINNING FACE}" * MAX_TITLE)) + bytes(16)))
    assert len(largest) < MAX_LINK_MESSAGE


HELLO = ["hello", "opener", "link", [1], b"p"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        [1],
        ["howdy"],
        [["hello"]],
        HELLO[:-1],
        [*HELLO, 1],
        ["hello", "owner", "link", [1], b"p"],
        ["hello", ["opener"], "link", [1], b"p"],
        ["hello", "opener", "fun", [1], b"p"],
        ["hello", "opener", "link", [True], b"p"],
        ["hello", "opener", "link", [1], "p"],
        ["confirm", b"m" * 31],
        ["confirm", "m" * 32],
        ["sealed", "frame"],
        ["sealed"],
        ["abort", "bored"],
        ["abort", 1],
    ],
)
def test_a_malformed_message_in_the_clear_is_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_clear(strict_cbor.encode(value))


IDENTITY = LAPTOP.public.to_bytes()


@pytest.mark.parametrize(
    "value",
    [
        ["reveal", IDENTITY],
        ["reveal", IDENTITY, b"laptop"],
        ["reveal", IDENTITY, "x" * (MAX_TITLE + 1)],
        ["reveal", IDENTITY[:-1], "laptop"],
        ["reveal", "identity", "laptop"],
        ["proof", b"m" * 32, b"s" * 63],
        ["proof", b"m" * 32],
        ["decision", "maybe"],
        ["decision", {}],
        ["decline", 1],
    ],
)
def test_a_malformed_sealed_message_is_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_sealed(strict_cbor.encode(value))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.binary(max_size=33) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(["hello", "confirm", "sealed", "abort", "reveal"]), st.lists(VALUES, max_size=5))
def test_no_message_makes_the_decoder_fail_otherwise(name: str, elements: list[Any]) -> None:
    for decode in (decode_clear, decode_sealed):
        try:
            message = decode(strict_cbor.encode([name, *elements]))
        except RemoteProtocolError:
            continue
        assert encode(message) == strict_cbor.encode([name, *elements])
