# SPDX-License-Identifier: Apache-2.0
"""Mutators: bytes, trees of CBOR and text. Seeded: the same generator and input give the same mutant."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import cbor2

from tests.fuzz.target import Shape

_NUMBERS: Final = (
    0, 1, -1, 2, 23, 24, 127, 128, 255, 256, 4096, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53,
    2**63 - 1, -(2**63), 2**64 - 1, 10**6,
)  # fmt: skip
_BYTES: Final = (
    b"",
    b"\0",
    b"\xff",
    b"..",
    b".",
    b"/",
    b"a/b",
    bytes(16),
    bytes(32),
    bytes(64),
    b"\xff" * 255,
    b"a" * 256,
)
_TEXTS: Final = (
    "", " ", "..", "../x", "/", "\0", "!must", "type", "a" * 26, "b" * 32, "p1", "p0", "\u202e", "\x1b[2J", "x" * 201,
    "é", "\u0301", "CON", "1", "-1", "1e999", "null", "https://", "\n", "\r\n", ":", "=", "~nobody", "[", "]]", '"',
)  # fmt: skip
_SCALARS: Final[tuple[Any, ...]] = (*_NUMBERS, *_BYTES, *_TEXTS, None, True, False, [], {}, 1.5, float("nan"))
_MAX_COPIES: Final = 40


def mutate(rng: random.Random, shape: Shape, data: bytes, corpus: Sequence[bytes], limit: int) -> bytes:
    """A mutant of an input.

    Args:
        rng: Chooses.
        shape: What the input is made of.
        data: The input.
        corpus: Other inputs, to take pieces from.
        limit: Bytes of the mutant at most.
    """
    changes = 1 + min(int(rng.expovariate(0.9)), 8)
    if shape is Shape.CBOR and rng.random() < 0.8:
        return mutate_cbor(rng, data, corpus, changes)[:limit]
    for _ in range(changes):
        mutator = mutate_text if shape is Shape.TEXT and rng.random() < 0.8 else mutate_bytes
        data = mutator(rng, data, corpus)
    return data[:limit]


def mutate_bytes(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Flip, cut, repeat, insert, overwrite or splice."""
    raw = bytearray(data)
    at = rng.randint(0, len(raw))
    match rng.randrange(7):
        case 0 if raw:
            raw[at % len(raw)] ^= 1 << rng.randrange(8)
        case 1 if raw:
            raw[at % len(raw)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        case 2:
            del raw[at : at + rng.randint(1, 16)]
        case 3:
            raw[at:at] = rng.randbytes(rng.randint(1, 16))
        case 4:
            piece = raw[at : at + rng.randint(1, 64)]
            raw[at:at] = piece * rng.randint(1, 4)
        case 5:
            other = rng.choice(corpus) if corpus else b""
            raw[at:] = other[rng.randint(0, len(other)) :]
        case _:
            size = rng.choice((1, 2, 4, 8))
            raw[at : at + size] = (rng.choice(_NUMBERS) % 256**size).to_bytes(size, rng.choice(("big", "little")))
    return bytes(raw)


def mutate_cbor(rng: random.Random, data: bytes, corpus: Sequence[bytes], changes: int = 1) -> bytes:
    """Change nodes of a value; bytes that are no CBOR are mutated as bytes."""
    value = _loaded(data)
    if value is _NOTHING:
        return mutate_bytes(rng, data, corpus)
    holder = [value]
    try:
        for _ in range(changes):
            container, key = rng.choice(list(_places(holder)))
            _change(rng, container, key, corpus)
        return cbor2.dumps(holder[0], canonical=rng.random() < 0.95)
    except Exception:  # noqa: BLE001 - odd values of the library cannot be copied, sorted or written again
        return mutate_bytes(rng, data, corpus)


def mutate_text(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Drop, repeat, swap or splice lines and words; put odd characters in."""
    separator = rng.choice((b"\n", b"\n", b" ", b":", b","))
    pieces = data.split(separator)
    at = rng.randrange(len(pieces))
    match rng.randrange(6):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(at, pieces[at])
        case 2:
            other = rng.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case 3:
            pieces[at] = rng.choice(_TEXTS).encode()
        case 4:
            pieces[at] = str(rng.choice(_NUMBERS)).encode()
        case _:
            donor = rng.choice(corpus).split(separator) if corpus else [b""]
            pieces.insert(at, rng.choice(donor))
    return separator.join(pieces)


_NOTHING: Final = object()


def _loaded(data: bytes) -> Any:
    try:
        return cbor2.loads(data, max_depth=32)
    except Exception:  # noqa: BLE001 - a mutant may be anything
        return _NOTHING


def _places(holder: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a value that can be changed in place."""
    pending: list[Any] = [holder]
    while pending:
        node = pending.pop()
        keys = range(len(node)) if isinstance(node, list) else list(node)
        for key in keys:
            yield node, key
            if isinstance(node[key], list | dict):
                pending.append(node[key])


def _change(rng: random.Random, container: Any, key: Any, corpus: Sequence[bytes]) -> None:
    node = container[key]
    match rng.randrange(8):
        case 0 | 1:
            container[key] = _tweaked(rng, node)
        case 2:
            container[key] = rng.choice(_SCALARS)
        case 3:
            container[key] = _borrowed(rng, corpus)
        case 4:
            _drop(container, key)
        case 5 if isinstance(container, list) and len(container) < 500:
            container[key:key] = [copy.deepcopy(node) for _ in range(rng.choice((1, 1, 2, _MAX_COPIES)))]
        case 6:
            _swap(rng, container, key)
        case _:
            _grow(rng, container, key)


def _drop(container: Any, key: Any) -> None:
    if isinstance(container, list) and len(container) == 1:
        container[0] = None
    else:
        del container[key]


def _swap(rng: random.Random, container: Any, key: Any) -> None:
    other = rng.choice(list(range(len(container)) if isinstance(container, list) else container))
    container[key], container[other] = container[other], container[key]


def _grow(rng: random.Random, container: Any, key: Any) -> None:
    """Put another layer around a node, or another key beside it."""
    if isinstance(container, dict) and rng.random() < 0.7:
        container[rng.choice(("type", "!x", "x", 1, *container))] = rng.choice(_SCALARS)
    else:
        container[key] = [container[key]] if rng.random() < 0.7 else {"x": container[key]}


def _borrowed(rng: random.Random, corpus: Sequence[bytes]) -> Any:
    places = _places_of(rng.choice(corpus)) if corpus else []
    if not places:
        return rng.choice(_SCALARS)
    container, key = rng.choice(places)
    return copy.deepcopy(container[key])


@lru_cache(maxsize=64)
def _places_of(data: bytes) -> list[tuple[Any, Any]]:
    """The places of an input, which is only read."""
    value = _loaded(data)
    return [] if value is _NOTHING else list(_places([value]))


def _tweaked(rng: random.Random, node: Any) -> Any:
    match node:
        case bool():
            return not node
        case int():
            return node + rng.choice((-1, 1, rng.randint(-300, 300), rng.choice(_NUMBERS)))
        case bytes():
            return mutate_bytes(rng, node, ())
        case str():
            at = rng.randint(0, len(node))
            return node[:at] + rng.choice(_TEXTS) + node[at + rng.randint(0, 2) :]
        case list():
            return sorted(node, key=lambda _: rng.random()) if rng.random() < 0.5 else node * rng.randint(0, 3)
        case _:
            return rng.choice(_SCALARS)
