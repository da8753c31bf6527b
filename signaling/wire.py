# SPDX-License-Identifier: Apache-2.0
"""Messages as strict CBOR. Layer: signaling, pure. Specification: docs/specs/signaling.md §2, signaling.cddl.

One message is one CBOR map with a text ``type`` in the deterministic encoding of RFC 8949 §4.2.1: no tags,
no duplicate or unknown keys, no indefinite lengths, no trailing bytes. A message has exactly one spelling,
so that anything else is refused by comparing it with its own re-encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import MappingProxyType, NoneType
from typing import Any, Final, NoReturn, get_args, get_type_hints

import cbor2
from typing_extensions import override

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import DEVICE_ID_LENGTH, LONG_ID_LENGTH, DeviceId, RoomId, parse_id
from p2p_handoff.limits import MAX_ENVELOPE, MAX_NAMEPLATE, MAX_RELAY_MESSAGE, RELAY_MAX_PRESENCE
from signaling import messages as m

NONCE_BYTES: Final = 32
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_MAX_DEPTH: Final = 3
_MAX_VERSIONS: Final = 16
_MAX_HOST: Final = 300

Check = Callable[[Any], Any]


class _NoTags(Mapping[int, Any]):
    """Semantic decoders that refuse every tag, before the library acts on it."""

    @override
    def __getitem__(self, tag: int) -> NoReturn:
        raise cbor2.CBORDecodeError(f"tag {tag}")

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(())

    @override
    def __len__(self) -> int:
        return 1


def _integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise RemoteProtocolError(f"an integer from {low} to {high} is expected")
        return value

    return check


def _bytes(low: int, high: int) -> Check:
    def check(value: Any) -> bytes:
        if type(value) is not bytes or not low <= len(value) <= high:
            raise RemoteProtocolError(f"{low} to {high} bytes are expected")
        return value

    return check


def _text(high: int) -> Check:
    def check(value: Any) -> str:
        if type(value) is not str or not 1 <= len(value) <= high or not value.isascii() or not value.isprintable():
            raise RemoteProtocolError(f"1 to {high} printable ASCII characters are expected")
        return value

    return check


def _identifier(length: int) -> Check:
    def check(value: Any) -> str:
        if type(value) is not str:
            raise RemoteProtocolError("an identifier is expected")
        return parse_id(value, length)

    return check


def _array(item: Check, high: int) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if type(value) not in {list, tuple} or len(value) > high:
            raise RemoteProtocolError(f"an array of at most {high} items is expected")
        return tuple(item(each) for each in value)

    return check


def _member(kind: type[Enum]) -> Check:
    def check(value: Any) -> Enum:
        try:
            return kind(value)
        except (ValueError, TypeError) as error:
            raise RemoteProtocolError(f"{str(value)[:40]!r} is not a reason") from error

    return check


_UINT32: Final = _integer(0, 2**32 - 1)

_CHECKS: Final[Mapping[object, Check]] = MappingProxyType(
    {
        m.RequestId: _UINT32,
        m.Count: _UINT32,
        m.Version: _UINT32,
        tuple[m.Version, ...]: _array(_UINT32, _MAX_VERSIONS),
        m.Nameplate: _integer(1, MAX_NAMEPLATE),
        m.Nonce: _bytes(NONCE_BYTES, NONCE_BYTES),
        m.IdentityKey: _bytes(KEY_BYTES, KEY_BYTES),
        m.Signature: _bytes(SIGNATURE_BYTES, SIGNATURE_BYTES),
        m.RelayName: _text(64),
        m.HostLabel: _text(_MAX_HOST),
        bytes: _bytes(1, MAX_ENVELOPE),
        DeviceId: _identifier(DEVICE_ID_LENGTH),
        tuple[DeviceId, ...]: _array(_identifier(DEVICE_ID_LENGTH), RELAY_MAX_PRESENCE),
        RoomId: _identifier(LONG_ID_LENGTH),
        m.Refusal: _member(m.Refusal),
        m.RoomEnd: _member(m.RoomEnd),
        m.Visit: _member(m.Visit),
        m.Farewell: _member(m.Farewell),
    }
)

_WIRE_NAMES: Final[Mapping[str, str]] = MappingProxyType({"sender": "from"})
"""Fields whose name on the wire is a keyword of Python."""


@dataclass(frozen=True, slots=True)
class _Field:
    attribute: str
    key: str
    check: Check
    optional: bool


def _field(name: str, hint: Any) -> _Field:
    optional = NoneType in get_args(hint)
    kind = get_args(hint)[0] if optional else hint
    return _Field(name, _WIRE_NAMES.get(name, name), _CHECKS[kind], optional)


def _schema(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    return tuple(_field(field.name, hints[field.name]) for field in fields(kind))


_TYPES: Final[Mapping[type, str]] = MappingProxyType(
    {
        m.Challenge: "challenge",
        m.Login: "login",
        m.Welcome: "welcome",
        m.Send: "send",
        m.Presence: "presence",
        m.OpenRoom: "open_room",
        m.FindRoom: "find_room",
        m.JoinRoom: "join_room",
        m.RoomSend: "room_send",
        m.CloseRoom: "close_room",
        m.Sent: "sent",
        m.Refused: "refused",
        m.Deliver: "deliver",
        m.Present: "present",
        m.RoomOpened: "room_opened",
        m.RoomFound: "room_found",
        m.RoomJoined: "joined",
        m.RoomMessage: "room_message",
        m.RoomVisited: "room_visited",
        m.RoomClosed: "room_closed",
        m.Goodbye: "goodbye",
    }
)
_SCHEMAS: Final = {kind: _schema(kind) for kind in _TYPES}
_FROM_CLIENT: Final = {_TYPES[kind]: kind for kind in get_args(m.FromClient)}
_FROM_RELAY: Final = {_TYPES[kind]: kind for kind in get_args(m.FromRelay)}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _to_map(message: m.Message) -> dict[str, Any]:
    mapping: dict[str, Any] = {"type": _TYPES[type(message)]}
    for field in _SCHEMAS[type(message)]:
        value = getattr(message, field.attribute)
        if value is None and field.optional:
            continue
        mapping[field.key] = _plain(field.check(value))
    return mapping


def _from_map(kind: type, mapping: dict[str, Any]) -> Any:
    schema = _SCHEMAS[kind]
    unknown = mapping.keys() - {field.key for field in schema} - {"type"}
    if unknown:
        raise RemoteProtocolError(f"a {_TYPES[kind]} message has no field {min(unknown)[:40]!r}")
    return kind(**{field.attribute: _read(field, mapping, _TYPES[kind]) for field in schema})


def _read(field: _Field, mapping: dict[str, Any], name: str) -> Any:
    if field.key not in mapping:
        if field.optional:
            return None
        raise RemoteProtocolError(f"a {name} message lacks the field {field.key!r}")
    try:
        return field.check(mapping[field.key])
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"field {field.key!r} of a {name} message: {error.what}") from error


def deterministic(value: object) -> bytes:
    """Plain values in the deterministic encoding of RFC 8949 §4.2.1."""
    return cbor2.dumps(value, canonical=True)


def validate(message: m.Message) -> None:
    """Check a message of our own.

    Raises:
        LocalProtocolError: A field is out of bounds: a defect of the caller.
    """
    try:
        _to_map(message)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"a {_TYPES[type(message)]} message cannot be written: {error.what}") from error


def encode(message: m.Message) -> bytes:
    """A message as bytes.

    Raises:
        LocalProtocolError: A field is out of bounds: a defect of the caller.
    """
    validate(message)
    return deterministic(_to_map(message))


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_RELAY_MESSAGE:
        raise RemoteProtocolError(f"a message of {len(data)} bytes is too large")
    try:
        value = cbor2.loads(
            data,
            semantic_decoders=_NoTags(),
            max_depth=_MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except (cbor2.CBORError, ValueError) as error:
        raise RemoteProtocolError("a message is not strict CBOR") from error
    if not isinstance(value, dict) or not all(type(key) is str for key in value):
        raise RemoteProtocolError("a message is not a map with text keys")
    if deterministic(value) != data:
        raise RemoteProtocolError("a message is not in deterministic encoding")
    return value


def _decode(data: bytes, kinds: Mapping[str, type]) -> Any:
    mapping = _parse(data)
    name = mapping.get("type")
    if not isinstance(name, str) or name not in kinds:
        raise RemoteProtocolError(f"unknown message type {str(name)[:40]!r}")
    return _from_map(kinds[name], mapping)


def decode_from_client(data: bytes) -> m.FromClient:
    """What a client sent.

    Raises:
        RemoteProtocolError: Not strict CBOR, an unknown type, or a field missing, unknown or out of bounds.
    """
    message: m.FromClient = _decode(data, _FROM_CLIENT)
    return message


def decode_from_relay(data: bytes) -> m.FromRelay:
    """What a relay sent.

    Raises:
        RemoteProtocolError: Not strict CBOR, an unknown type, or a field missing, unknown or out of bounds.
    """
    message: m.FromRelay = _decode(data, _FROM_RELAY)
    return message
