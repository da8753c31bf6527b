# SPDX-License-Identifier: Apache-2.0
"""session.statement_codec: golden bytes, round trips, and strictness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pycddl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.session.statement_codec import decode_statement, encode_statement
from p2p_handoff.session.statements import (
    MAX_EPOCH,
    Accepted,
    Genesis,
    Grant,
    Parent,
    RefusalReason,
    Refused,
    Statement,
)

ROOT_DIRECTORY = Path(__file__).parents[2]
VECTORS: dict[str, Any] = json.loads((ROOT_DIRECTORY / "tests/vectors/ownership.json").read_text())
SPECIFICATION = (ROOT_DIRECTORY / "docs/specs/ownership.md").read_text()

base32 = "abcdefghijklmnopqrstuvwxyz234567"
sessions = st.text(base32, min_size=26, max_size=26).map(SessionId)
txns = st.text(base32, min_size=26, max_size=26).map(TxnId)
devices = st.text(base32, min_size=32, max_size=32).map(DeviceId)
digests = st.binary(min_size=32, max_size=32).map(Digest)
keys = st.binary(min_size=32, max_size=32)
epochs = st.integers(1, MAX_EPOCH)
parts = st.lists(st.integers(1, 999_999).map(lambda n: PartId(f"p{n}")), max_size=64, unique=True).map(tuple)
parents = st.none() | st.builds(Parent, sessions, epochs, digests)
statements: st.SearchStrategy[Statement] = st.one_of(
    st.builds(Genesis, sessions, devices, keys, digests, parents),
    st.builds(
        Grant,
        sessions,
        txns,
        devices,
        devices,
        keys,
        epochs,
        digests,
        parts,
        st.binary(min_size=16, max_size=16),
        digests,
    ),
    st.builds(Accepted, sessions, txns, devices, epochs, digests),
    st.builds(Refused, sessions, txns, devices, devices, st.sampled_from(RefusalReason)),
)


def cddl() -> pycddl.Schema:
    return pycddl.Schema(SPECIFICATION.split("```cddl\n")[1].split("```")[0])


@given(statements)
def test_a_statement_survives_encoding(statement: Statement) -> None:
    assert decode_statement(encode_statement(statement)) == statement


@given(statements)
def test_every_statement_fits_the_schema_of_the_specification(statement: Statement) -> None:
    cddl().validate_cbor(encode_statement(statement))


@given(statements, st.data())
def test_a_changed_byte_is_refused_or_means_something_else(statement: Statement, data: st.DataObject) -> None:
    body = bytearray(encode_statement(statement))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode_statement(bytes(body))
    except RemoteProtocolError:
        return
    assert changed != statement
    assert encode_statement(changed) == bytes(body)


@pytest.mark.parametrize("name", sorted(VECTORS["statements"]))
def test_golden_bytes_decode_and_encode_to_themselves(name: str) -> None:
    body = bytes.fromhex(VECTORS["statements"][name]["body"])
    statement = decode_statement(body)
    assert type(statement).__name__.lower() == name.partition("-")[0]
    assert encode_statement(statement) == body


def values(statement: str = "grant") -> list[Any]:
    value = strict_cbor.decode(bytes.fromhex(VECTORS["statements"][statement]["body"]), limit=4096)
    assert isinstance(value, list)
    return value


BAD_FIELDS = [
    (0, 9), (0, True), (1, 2), (1, True),
    (2, "short"), (2, "A" * 26), (3, 1), (4, "a" * 31), (6, b"k" * 31),
    (7, 0), (7, -1), (7, MAX_EPOCH + 1), (7, True), (7, "1"), (8, b""), (8, None),
    (9, "p1"), (9, ["p1", "p1"]), (9, ["p0"]), (9, ["../x"]), (9, [1]), (9, [f"p{n}" for n in range(1, 66)]),
    (10, b"n" * 15), (11, b"d" * 33),
]  # fmt: skip


@pytest.mark.parametrize(("position", "value"), BAD_FIELDS)
def test_a_grant_with_a_bad_field_is_refused(position: int, value: object) -> None:
    fields = values()
    fields[position] = value
    with pytest.raises(RemoteProtocolError):
        decode_statement(strict_cbor.encode(fields))


@pytest.mark.parametrize("value", [4, -1, True, None, "0"])
def test_a_refusal_with_an_unknown_reason_is_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError, match="reason"):
        decode_statement(strict_cbor.encode([*values("refused")[:-1], value]))


@pytest.mark.parametrize("value", [1, [], [0], {}, "x", None])
def test_other_values_are_no_statement(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_statement(strict_cbor.encode(value))


def test_missing_and_extra_fields_are_refused() -> None:
    for fields in (values()[:-1], [*values(), 0]):
        with pytest.raises(RemoteProtocolError):
            decode_statement(strict_cbor.encode(fields))


@pytest.mark.parametrize("parent", [0, [], ["a" * 26, 1], ["a" * 26, 0, b"r" * 32]])
def test_a_genesis_with_a_bad_parent_is_refused(parent: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_statement(strict_cbor.encode([*values("genesis")[:-1], parent]))
