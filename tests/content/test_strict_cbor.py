# SPDX-License-Identifier: Apache-2.0
"""One encoding per value, and nothing but that encoding is accepted."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content.strict_cbor import INT_MAX, INT_MIN, decode, encode
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.limits import MAX_CBOR_DEPTH

LIMIT = 1 << 20
INTEGERS = st.integers(INT_MIN, INT_MAX)
SCALARS = st.none() | st.booleans() | INTEGERS | st.binary(max_size=40) | st.text(max_size=40)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8) | INTEGERS, inner, max_size=6),
    max_leaves=20,
)


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


@given(VALUES)
def test_a_value_survives_the_wire(value: object) -> None:
    assert decode(encode(value), limit=LIMIT) == value


@given(VALUES, st.data())
def test_altered_bytes_are_the_only_encoding_of_their_value_or_refused(value: object, data: st.DataObject) -> None:
    altered = bytearray(encode(value))
    altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    accept_only_canonical(bytes(altered))


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_the_only_encoding_of_their_value_or_refused(data: bytes) -> None:
    accept_only_canonical(data)


def accept_only_canonical(data: bytes) -> None:
    try:
        value = decode(data, limit=LIMIT)
    except RemoteProtocolError:
        return
    assert encode(value) == data


def test_the_order_in_which_a_map_was_filled_does_not_show() -> None:
    assert encode({"b": 1, "a": 2, 3: 4}) == encode({3: 4, "a": 2, "b": 1}) == bytes.fromhex("a30304616102616201")


def test_a_tuple_is_written_as_a_list() -> None:
    assert decode(encode((1, (2,))), limit=LIMIT) == [1, [2]]


@pytest.mark.parametrize(
    ("hexadecimal", "what"),
    [
        ("", "nothing"),
        ("0000", "trailing bytes"),
        ("1800", "a padded integer"),
        ("5801ff", "a padded length"),
        ("9f00ff", "an indefinite array"),
        ("5f4100ff", "an indefinite byte string"),
        ("a2010101f6", "a duplicate key"),
        ("a202010101", "unsorted keys"),
        ("a1f500", "a boolean key"),
        ("a1f600", "a null key"),
        ("a14000", "a byte string key"),
        ("a18000", "an array key"),
        ("a1a000", "a map key"),
        ("f7", "undefined"),
        ("e0", "an unassigned simple value"),
        ("fb3ff0000000000000", "a float"),
        ("f97e00", "not a number"),
        ("61ff", "text that is not UTF-8"),
        ("62c080", "overlong UTF-8"),
        ("63eda080", "a surrogate in UTF-8"),
        ("1b8000000000000000", "2**63"),
        ("3b8000000000000000", "-2**63 - 1"),
        ("9bffffffffffffffff", "an endless array"),
        ("5bffffffffffffffff", "an endless byte string"),
        ("bb00000000ffffffff", "an endless map"),
        ("ff", "a lone break"),
        ("1c", "a reserved length"),
        ("c24101", "a big number"),
        ("d81c80", "a shareable value"),
        ("82d81c80d81d00", "a shared reference"),
        ("d81c81d81d00", "a list that contains itself"),
        ("d8236161", "a regular expression"),
        ("d9d9f700", "a self-description"),
    ],
)
def test_what_encode_would_not_write_is_refused(hexadecimal: str, what: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(bytes.fromhex(hexadecimal), limit=LIMIT)


@pytest.mark.parametrize("hexadecimal", ["c101", "c24101", "d81c80", "d8236161", "d90102820102", "d9d9f700"])
def test_a_tag_that_the_library_knows_is_refused_before_it_acts(hexadecimal: str) -> None:
    with pytest.raises(RemoteProtocolError, match="semantic tag"):
        decode(bytes.fromhex(hexadecimal), limit=LIMIT)


def test_a_duplicate_key_is_named() -> None:
    with pytest.raises(RemoteProtocolError, match="Duplicate map key"):
        decode(bytes.fromhex("a2010101f6"), limit=LIMIT)


@pytest.mark.parametrize("payload", ["00", "6161", "80", "a0", "820001", "4101", "8101"])
def test_every_tag_is_refused(payload: str) -> None:
    for tag in [*range(1200), 43000, 55799, 2**32]:
        head = cbor2.dumps(cbor2.CBORTag(tag, 0))[:-1]
        with pytest.raises(RemoteProtocolError):
            decode(head + bytes.fromhex(payload), limit=LIMIT)


def test_more_bytes_than_the_limit_are_refused_unread() -> None:
    data = encode(b"x" * 100)
    assert decode(data, limit=len(data)) == b"x" * 100
    with pytest.raises(RemoteProtocolError, match="at most 101"):
        decode(data, limit=101)


def items_of(value: object) -> int:
    """How many items an encoded value has."""
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(items_of, value.values()))
    return 1 + sum(map(items_of, value)) if isinstance(value, list) else 1


@given(VALUES)
def test_items_are_counted_before_they_are_made(value: object) -> None:
    data, items = encode(value), items_of(value)
    assert decode(data, limit=LIMIT, items=items) == value
    if items > 1:
        with pytest.raises(RemoteProtocolError, match=f"more than {items - 1} items"):
            decode(data, limit=LIMIT, items=items - 1)


def test_nesting_is_bounded_on_both_sides() -> None:
    assert decode(encode(nested(MAX_CBOR_DEPTH)), limit=LIMIT) == nested(MAX_CBOR_DEPTH)
    with pytest.raises(RemoteProtocolError):
        decode(b"\x81" * (MAX_CBOR_DEPTH + 1) + b"\x00", limit=LIMIT)
    with pytest.raises(RemoteProtocolError):
        decode(b"\x81" * MAX_CBOR_DEPTH + b"\x80", limit=LIMIT)
    with pytest.raises(LocalProtocolError):
        encode(nested(MAX_CBOR_DEPTH + 1))


@pytest.mark.parametrize(
    "value",
    [1.0, INT_MAX + 1, INT_MIN - 1, "\ud800", {b"k": 1}, {True: 1}, {2**63: 1}, {1, 2}, bytearray(b"x"), object],
)
def test_a_value_of_a_foreign_type_is_our_own_defect(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        encode([value])


def test_equal_keys_of_different_types_stay_apart() -> None:
    value = {1: "number", "1": "text"}
    assert decode(encode(value), limit=LIMIT) == value
