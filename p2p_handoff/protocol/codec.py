# SPDX-License-Identifier: Apache-2.0
"""Messages to strict CBOR and back, driven by their annotations. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §2. A message is one map: ``type`` and its fields by name. An unknown
field is ignored unless its name begins with ``!``, which means that it must be understood. Decoders are made from
the fields' annotations, once per message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, cast, get_args, get_origin, get_type_hints

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import DEVICE_ID_LENGTH, LONG_ID_LENGTH, DeviceId, PartId, SessionId, TxnId, parse_id
from p2p_handoff.limits import MAX_CBOR_ITEMS, MAX_CONTROL_MESSAGE
from p2p_handoff.protocol.messages import MESSAGES, Message, Within

_MAX_ITEMS: Final = 1 << 17
"""Elements of a list that has no bound of its own: more than a control message holds of our smallest."""
_NAMES: Final = {kind: name for name, kind in MESSAGES.items()}
_PART_ID: Final = re.compile(r"p[1-9][0-9]{0,5}")

Decode = Callable[[object], object]


def encode(message: Message) -> bytes:
    """One message as deterministic CBOR.

    Raises:
        LocalProtocolError: A field is beyond a bound that ``decode`` enforces: the peer would close the connection.
    """
    body = cast("dict[str, object]", _plain(message))
    data = strict_cbor.encode({"type": _NAMES[type(message)], **body})
    try:
        decode(data)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"{type(message).__name__} cannot be sent: {error.what}") from error
    return data


def decode(data: bytes) -> Message:
    """One message from a peer.

    Raises:
        RemoteProtocolError: It is not a message, or a field is missing, of the wrong type or out of bounds.
    """
    value = strict_cbor.decode(data, limit=MAX_CONTROL_MESSAGE, items=MAX_CBOR_ITEMS)
    if not isinstance(value, dict):
        raise RemoteProtocolError("a message must be a map")
    name = value.get("type")
    kind = MESSAGES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise RemoteProtocolError(f"unknown message type {str(name)[:40]!r}")
    body = {key: item for key, item in value.items() if key != "type"}
    return cast("Message", _decode_fields(kind, body))


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _decode_fields(kind: type, body: Mapping[object, object]) -> object:
    decoders = _decoders(kind)
    for key in body:
        if key not in decoders and str(key).startswith("!"):
            raise RemoteProtocolError(f"field {str(key)[:40]!r} must be understood, and is not")
    missing = [name for name in decoders if name not in body]
    if missing:
        raise RemoteProtocolError(f"{kind.__name__} lacks {', '.join(missing)}")
    return kind(**{name: decoder(body[name]) for name, decoder in decoders.items()})


@cache
def _decoders(kind: type) -> dict[str, Decode]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: _decoder(hints[field.name]) for field in fields(kind)}


def _decoder(hint: Any) -> Decode:
    if hint in _LEAVES:
        return _LEAVES[hint]
    if get_origin(hint) is Annotated:
        inner, bounds = get_args(hint)
        return _within(bounds, _decoder(inner))
    if get_origin(hint) is tuple:
        return _tuple_of(_decoder(get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _nested(hint)
    raise TypeError(f"no wire form for {hint!r}")


def _within(bounds: Within, inner: Decode) -> Decode:
    def decode_within(value: object) -> object:
        # Before the elements of a list are looked at.
        size = value if type(value) is int else len(value) if isinstance(value, str | bytes | list) else bounds.least
        if not bounds.least <= size <= bounds.most:
            raise RemoteProtocolError(f"{size} is not between {bounds.least} and {bounds.most}")
        return inner(value)

    return decode_within


def _tuple_of(item: Decode) -> Decode:
    def decode_tuple(value: object) -> object:
        if not isinstance(value, list) or len(value) > _MAX_ITEMS:
            raise RemoteProtocolError("expected a list of bounded length")
        return tuple(item(element) for element in value)

    return decode_tuple


def _enum(kind: type[Enum]) -> Decode:
    def decode_enum(value: object) -> object:
        try:
            return kind(value)
        except ValueError:
            raise RemoteProtocolError(f"{str(value)[:40]!r} is no {kind.__name__}") from None

    return decode_enum


def _nested(kind: type) -> Decode:
    def decode_nested(value: object) -> object:
        if not isinstance(value, dict):
            raise RemoteProtocolError(f"expected a map for {kind.__name__}")
        return _decode_fields(kind, value)

    return decode_nested


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise RemoteProtocolError("expected a text")
    return value


def _bytes(value: object) -> object:
    if not isinstance(value, bytes):
        raise RemoteProtocolError("expected bytes")
    return value


def _count(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RemoteProtocolError("expected a non-negative integer")
    return value


def _bool(value: object) -> object:
    if not isinstance(value, bool):
        raise RemoteProtocolError("expected true or false")
    return value


def _id_of_length(length: int) -> Decode:
    def decode_id(value: object) -> object:
        if not isinstance(value, str):
            raise RemoteProtocolError("expected an identifier")
        return parse_id(value, length)

    return decode_id


def _part_id(value: object) -> object:
    if not isinstance(value, str) or not _PART_ID.fullmatch(value):
        raise RemoteProtocolError("expected a part id")
    return value


_LEAVES: Final[dict[Any, Decode]] = {
    str: _text,
    bytes: _bytes,
    int: _count,
    bool: _bool,
    DeviceId: _id_of_length(DEVICE_ID_LENGTH),
    SessionId: _id_of_length(LONG_ID_LENGTH),
    TxnId: _id_of_length(LONG_ID_LENGTH),
    PartId: _part_id,
}
