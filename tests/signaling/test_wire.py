# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import cbor2
import pycddl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import DeviceId, RoomId
from p2p_handoff.limits import MAX_ENVELOPE, MAX_RELAY_MESSAGE
from signaling import messages as m
from signaling.wire import decode_from_client, decode_from_relay, encode, validate

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests/vectors/signaling.json").read_text())["messages"]
SCHEMA = pycddl.Schema((ROOT / "docs/specs/signaling.cddl").read_text())

_base32 = "abcdefghijklmnopqrstuvwxyz234567"
_uint32 = st.integers(0, 2**32 - 1)
_devices = st.text(_base32, min_size=32, max_size=32).map(DeviceId)
_rooms = st.text(_base32, min_size=26, max_size=26).map(RoomId)
_plates = st.integers(1, 9999).map(m.Nameplate)
_printable = st.text([chr(code) for code in range(32, 127)], min_size=1, max_size=64)

st.register_type_strategy(DeviceId, _devices)
st.register_type_strategy(RoomId, _rooms)
st.register_type_strategy(m.Nameplate, _plates)
st.register_type_strategy(bytes, st.binary(min_size=1, max_size=100))
for number in (m.RequestId, m.Count, m.Version):
    st.register_type_strategy(number, _uint32)
for fixed, size in ((m.Nonce, 32), (m.IdentityKey, 32), (m.Signature, 64)):
    st.register_type_strategy(fixed, st.binary(min_size=size, max_size=size))
for text in (m.RelayName, m.HostLabel):
    st.register_type_strategy(text, _printable)

versions = st.lists(_uint32, max_size=16).map(lambda items: tuple(map(m.Version, items)))
challenges = st.builds(m.Challenge, versions=versions)
from_client = st.one_of([st.builds(kind) for kind in get_args(m.FromClient)])
from_relay = st.one_of(challenges, *[st.builds(kind) for kind in get_args(m.FromRelay) if kind is not m.Challenge])


def revive(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def read(data: bytes) -> m.FromClient | None:
    try:
        return decode_from_client(data)
    except RemoteProtocolError:
        return None


@given(from_client)
def test_what_a_client_writes_a_relay_reads(message: m.FromClient) -> None:
    assert decode_from_client(encode(message)) == message


@given(from_relay)
def test_what_a_relay_writes_a_client_reads(message: m.FromRelay) -> None:
    assert decode_from_relay(encode(message)) == message


@given(st.one_of(from_client, from_relay))
def test_every_message_fits_the_published_schema(message: m.Message) -> None:
    SCHEMA.validate_cbor(encode(message))


@given(from_client, st.data())
def test_any_altered_byte_is_refused_or_makes_another_message(message: m.FromClient, data: st.DataObject) -> None:
    encoded = bytearray(encode(message))
    index = data.draw(st.integers(0, len(encoded) - 1))
    encoded[index] ^= data.draw(st.integers(1, 255))
    assert read(bytes(encoded)) != message


@given(st.binary(max_size=200))
def test_no_garbage_escapes_as_another_exception(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_from_relay(data)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["message"]["type"])
def test_golden_messages_read_and_write_as_published(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["cbor"])
    decode = decode_from_client if vector["sender"] == "client" else decode_from_relay
    assert cbor2.loads(data) == {key: revive(value) for key, value in vector["message"].items()}
    assert encode(decode(data)) == data
    SCHEMA.validate_cbor(data)


def test_golden_messages_cover_every_type() -> None:
    assert len({vector["message"]["type"] for vector in VECTORS}) == len(get_args(m.Message))


FOUND = {"type": "find_room", "id": 1, "nameplate": 7}
GOOD = cbor2.dumps(FOUND, canonical=True)


@pytest.mark.parametrize(
    ("flaw", "data"),
    [
        ("empty", b""),
        ("trailing byte", GOOD + b"\x00"),
        ("truncated", GOOD[:-1]),
        ("duplicate key", b"\xa4" + GOOD[1:] + b"\x62id\x01"),
        ("indefinite map", b"\xbf" + GOOD[1:] + b"\xff"),
        ("long integer", GOOD.replace(b"\x62id\x01", b"\x62id\x18\x01")),
        ("unsorted keys", cbor2.dumps(FOUND)),
        ("float", cbor2.dumps(FOUND | {"id": 1.0}, canonical=True)),
        ("true for 1", cbor2.dumps(FOUND | {"id": True}, canonical=True)),
        ("null for absent", cbor2.dumps({"type": "open_room", "id": 1, "room": None}, canonical=True)),
        ("tagged field", cbor2.dumps(FOUND | {"id": cbor2.CBORTag(1000, 1)}, canonical=True)),
        ("shared reference", b"\xd8\x1c\x81\xd8\x1d\x00"),
        ("regular expression", cbor2.dumps(cbor2.CBORTag(35, "(a+)+$"))),
        ("big number", cbor2.dumps(FOUND | {"id": 2**70}, canonical=True)),
        ("deep nesting", b"\x81" * 1000 + b"\x00"),
        ("number as key", cbor2.dumps(FOUND | {5: 5}, canonical=True)),
        ("an array", cbor2.dumps([1, 2])),
        ("unknown key", cbor2.dumps(FOUND | {"x": 5}, canonical=True)),
        ("unknown type", cbor2.dumps(FOUND | {"type": "find_rooms"}, canonical=True)),
        ("type as list", cbor2.dumps(FOUND | {"type": ["find_room"]}, canonical=True)),
        ("missing field", cbor2.dumps({"type": "find_room", "id": 1}, canonical=True)),
        ("nameplate zero", cbor2.dumps(FOUND | {"nameplate": 0}, canonical=True)),
        ("nameplate too high", cbor2.dumps(FOUND | {"nameplate": 10000}, canonical=True)),
        ("negative id", cbor2.dumps(FOUND | {"id": -1}, canonical=True)),
        ("bad room id", cbor2.dumps({"type": "join_room", "id": 1, "room": "A" * 26}, canonical=True)),
        ("room id as bytes", cbor2.dumps({"type": "join_room", "id": 1, "room": b"a" * 26}, canonical=True)),
        ("too many devices", cbor2.dumps({"type": "presence", "id": 1, "devices": ["a" * 32] * 257}, canonical=True)),
        ("devices as text", cbor2.dumps({"type": "presence", "id": 1, "devices": "a" * 32}, canonical=True)),
        ("a relay's message", encode(m.Sent(m.RequestId(1)))),
        ("too large", b"\x5a" + (MAX_RELAY_MESSAGE).to_bytes(4, "big") + bytes(MAX_RELAY_MESSAGE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_relay_refuses(flaw: str, data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_from_client(data)


def test_the_unflawed_message_is_accepted() -> None:
    assert decode_from_client(GOOD) == m.FindRoom(m.RequestId(1), m.Nameplate(7))


@pytest.mark.parametrize("reason", ["unheard-of", 5, ["left"], {}])
def test_an_unknown_reason_is_refused(reason: object) -> None:
    data = cbor2.dumps({"type": "refused", "id": 1, "reason": reason}, canonical=True)
    with pytest.raises(RemoteProtocolError):
        decode_from_relay(data)


@pytest.mark.parametrize("size", [0, MAX_ENVELOPE + 1])
def test_our_own_malformed_message_is_our_defect(size: int) -> None:
    message = m.Send(m.RequestId(1), DeviceId("a" * 32), bytes(size))
    with pytest.raises(LocalProtocolError):
        encode(message)
    with pytest.raises(LocalProtocolError):
        validate(message)


def test_the_largest_envelope_fits_a_message() -> None:
    assert len(encode(m.Deliver(DeviceId("a" * 32), bytes(MAX_ENVELOPE)))) < MAX_RELAY_MESSAGE
