# SPDX-License-Identifier: Apache-2.0
"""The one CBOR codec of the project: deterministic out, strict in. Layer: content, pure.

Specification: docs/specs/content.md §0 (RFC 8949 §4.2.3, length-first map keys). Every value has exactly one
encoding, so a digest or a signature over bytes is one over the value. ``decode`` accepts a byte string only if
``encode`` would have produced it, which rules out tags, duplicate keys, trailing bytes, indefinite lengths
and padded integers at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Never

import cbor2

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.limits import MAX_CBOR_DEPTH

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
"""Integers fit a signed 64-bit word: what SQLite and other languages hold."""

_SCALARS: Final = frozenset((bytes, str, bool, type(None)))
_CONTAINERS: Final = frozenset((list, tuple, dict))
_KNOWN_TAGS: Final = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799)


_INLINE: Final = 23
_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
"""Bytes of the number behind a head, by what the head says."""
_STRINGS: Final = frozenset((2, 3))
"""Kinds whose number is the length of what follows: bytes and text."""


class _UnsuitableError(ValueError):
    """A value that this codec does not carry."""


def _refuse_tag(*_: object) -> Never:
    raise _UnsuitableError("it has a tag")


# A tag must be refused before it acts: tag 35 compiles a regular expression, tags 28 and 29 build cycles.
_TAG_DECODERS: Final[dict[int, Any]] = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)


def encode(value: object) -> bytes:
    """The only encoding of a value.

    Args:
        value: Integers of 64 bits, bytes, str, bool, None, lists (tuples count as lists), and dicts whose keys
            are str or int.

    Raises:
        LocalProtocolError: Any other type, a float, a number too large, text with lone surrogates, or nesting
            beyond MAX_CBOR_DEPTH: a defect of the caller.
    """
    try:
        return _encode(value)
    except ValueError as error:
        raise LocalProtocolError(f"a value cannot be written as strict CBOR: {error}") from error


def decode(data: bytes, *, limit: int, items: int | None = None) -> object:
    """The value of bytes that came from outside.

    Args:
        data: One complete encoded value.
        limit: Most bytes to accept.
        items: Most items to accept, the value itself and what is in its containers; None: as many as fit.

    Returns:
        int, bytes, str, bool, None, list, or dict with str or int keys.

    Raises:
        RemoteProtocolError: Too long, not CBOR, or not exactly what ``encode`` makes of the value.
    """
    if len(data) > limit:
        raise RemoteProtocolError(f"{len(data)} bytes of CBOR where at most {limit} are allowed")
    if items is not None and len(data) > items and _has_more_items(data, items):
        raise RemoteProtocolError(f"CBOR of more than {items} items")
    try:
        value = _load(data)
        canonical = _encode(value)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise RemoteProtocolError(f"received bytes are not strict CBOR: {error}") from error
    if canonical != data:
        raise RemoteProtocolError("received bytes are not the deterministic encoding of their value")
    return value


def _has_more_items(data: bytes, most: int) -> bool:
    """Whether bytes hold more items than so many, found out without making one of them.

    Each begins with a head (RFC 8949 §3): its kind, and a number that is its own length for strings. What no decoder of
    ours takes ends the count: it is refused later.
    """
    at = count = 0
    while at < len(data):
        count += 1
        if count > most:
            return True
        kind, size = data[at] >> 5, data[at] & 31
        at += 1
        if size > _INLINE:
            width = _WIDTHS.get(size)
            if width is None:
                return False
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        if kind in _STRINGS:
            at += size
    return False


def _load(data: bytes) -> object:
    value: object = cbor2.loads(
        data,
        tag_hook=_refuse_tag,
        semantic_decoders=_TAG_DECODERS,
        max_depth=MAX_CBOR_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
    )
    return value


def _encode(value: object) -> bytes:
    level: list[object] = [value]
    for depth in range(MAX_CBOR_DEPTH + 1):
        level = [child for item in level if type(item) not in _SCALARS for child in _children(item, depth)]
    return cbor2.dumps(value, canonical=True)


def _children(item: Any, depth: int) -> Iterable[object]:
    """What an item that is no scalar contains, after the check that the item itself may be encoded."""
    kind = type(item)
    if kind is int:
        if not INT_MIN <= item <= INT_MAX:
            raise _UnsuitableError("an integer has more than 64 bits")
        return ()
    if kind not in _CONTAINERS:
        raise _UnsuitableError(f"it has a {kind.__name__}")
    if depth == MAX_CBOR_DEPTH:
        raise _UnsuitableError(f"it is nested more than {MAX_CBOR_DEPTH} deep")
    return _values(item) if kind is dict else item


def _values(mapping: dict[Any, object]) -> Iterable[object]:
    for key in mapping:
        if type(key) is not str and (type(key) is not int or not INT_MIN <= key <= INT_MAX):
            raise _UnsuitableError("a map key is neither text nor a 64-bit integer")
    return mapping.values()
