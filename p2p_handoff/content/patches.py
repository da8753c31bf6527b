# SPDX-License-Identifier: Apache-2.0
"""Patches: what a receiver has already of an object that resembles one of its own. Layer: content, pure.

Specification: docs/specs/content.md §6. The receiver describes its *base* by a sketch, short digests of short blocks;
the sender answers with copies of runs of these blocks and with what is between them. A sketch is a hint: one that is
not understood, or that fits nothing, costs a patch and nothing else. So does a patch that is wrong: whoever applies
one checks the digest of what comes out, as of every object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import zstandard
from pyfastcdc import FastCDC

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.compression import Encoding, unpack
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import IntegrityError, RemoteProtocolError
from p2p_handoff.limits import KIB, MAX_OBJECT, MAX_SKETCH

BLOCK_DIGEST_BYTES: Final = 6
"""Two different blocks are taken for equal once in 2^48 pairs; what comes out then has another digest."""
_MAX_BLOCKS: Final = (MAX_SKETCH - 1) // BLOCK_DIGEST_BYTES
_LEVEL: Final = 3
_MAX_STEPS: Final = 2 * _MAX_BLOCKS + 1
_MAX_ITEMS: Final = 1 + 3 * _MAX_STEPS
_Step = tuple[int, int] | bytes
"""Copy a run of blocks, given by the first and their number; or insert bytes."""


@dataclass(frozen=True, slots=True)
class _Grain:
    """How short the blocks are."""

    up_to: int
    """Bytes of the longest base that is cut like this."""
    cutter: FastCDC


def _grain(up_to: int, least: int, average: int, most: int) -> _Grain:
    # As in content.chunking the library looks for cuts only behind the minimum, which is 256 or more. Where nearly all
    # blocks are that short, cuts behind an edit do not meet the old ones for long: hence a larger average, and level 1.
    cutter = FastCDC(avg_size=average, min_size=least, max_size=most, normalized_chunking=1, seed=0)
    return _Grain(up_to, cutter)


_GRAINS: Final = (
    _grain(256 * KIB, 256, 384, 4 * KIB),
    _grain(MAX_OBJECT, KIB, 3 * KIB, 16 * KIB),
)
"""By the first byte of a sketch; blocks of random bytes have 600 and 4,450 bytes on average."""


@dataclass(frozen=True, slots=True)
class Base:
    """Bytes that a receiver has, described for whoever makes a patch against them."""

    data: bytes
    bounds: tuple[int, ...]
    """Where the blocks begin, and where the last one ends; offsets in bytes."""
    sketch: bytes
    """What is sent: the grain, and a short digest of each block."""


def sketched(data: bytes) -> Base | None:
    """Describe bytes as a base; None where they make no useful one: empty, too long, or cut into too many blocks."""
    code = next((code for code, grain in enumerate(_GRAINS) if len(data) <= grain.up_to), None)
    if code is None or not data:
        return None
    bounds = (0, *(end for _, end in _blocks(_GRAINS[code], data)))
    if len(bounds) > _MAX_BLOCKS:
        return None
    return Base(data, bounds, bytes([code]) + b"".join(_name(data[start:end]) for start, end in pairwise(bounds)))


def make(data: bytes, sketch: bytes) -> bytes | None:
    """A patch that makes some bytes of the base that a sketch describes.

    Args:
        data: What the receiver wants.
        sketch: As received; of any content.

    Returns:
        The payload of ``Encoding.PATCH``; None where the base has nothing of it, or the sketch is not understood.
    """
    names = _names(sketch)
    if not names:
        return None
    steps = list(_joined(_steps(data, _GRAINS[sketch[0]], names)))
    if len(steps) > _MAX_STEPS or all(isinstance(step, bytes) for step in steps):
        return None
    return zstandard.ZstdCompressor(level=_LEVEL).compress(strict_cbor.encode(steps))


def apply(payload: bytes, base: Base, size_limit: int) -> bytes:
    """What a patch makes of a base. Never makes more than ``size_limit`` bytes, whatever the patch says.

    Args:
        payload: As received.
        base: What the sketch described that went out.
        size_limit: Most bytes that the result may have.

    Raises:
        IntegrityError: It is no patch of this base, or its result is beyond the limit. A result is not known to be
            right before its digest was checked.
    """
    # The steps around what is inserted take less than a sixteenth of the blocks that they copy.
    encoded = unpack(Encoding.ZSTD, payload, size_limit + size_limit // 16 + KIB)
    try:
        steps = strict_cbor.decode(encoded, limit=len(encoded), items=_MAX_ITEMS)
    except RemoteProtocolError as error:
        raise IntegrityError(f"a patch is malformed: {error.what}") from error
    if not isinstance(steps, list):
        raise IntegrityError("a patch is no list of steps")
    pieces: list[bytes] = []
    left = size_limit
    for step in steps:
        start, end = (0, len(step)) if isinstance(step, bytes) else _run(step, base.bounds)
        left -= end - start
        if left < 0:
            raise IntegrityError(f"a patch makes more than {size_limit} bytes")
        pieces.append(step if isinstance(step, bytes) else base.data[start:end])
    return b"".join(pieces)


def _run(step: Any, bounds: Sequence[int]) -> tuple[int, int]:
    """Where the blocks that a step copies begin and end in the base."""
    match step:
        case [int(first), int(count)] if 0 <= first < first + count < len(bounds):
            return bounds[first], bounds[first + count]
        case _:
            raise IntegrityError("a step of a patch is malformed")


def _blocks(grain: _Grain, data: bytes) -> Iterator[tuple[int, int]]:
    return ((block.offset, block.offset + block.length) for block in grain.cutter.cut_buf(data))


def _name(block: bytes) -> bytes:
    return digest(block)[:BLOCK_DIGEST_BYTES]


def _names(sketch: bytes) -> Sequence[bytes]:
    """The blocks that a sketch names, in order; none where it is not understood."""
    if not sketch or sketch[0] >= len(_GRAINS) or (len(sketch) - 1) % BLOCK_DIGEST_BYTES:
        return ()
    return [sketch[start : start + BLOCK_DIGEST_BYTES] for start in range(1, len(sketch), BLOCK_DIGEST_BYTES)]


def _steps(data: bytes, grain: _Grain, names: Sequence[bytes]) -> Iterator[_Step]:
    """Block by block, what the base has or what it lacks. Of blocks that occur twice the one behind the last counts."""
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    follows = 0
    for start, end in _blocks(grain, data):
        name = _name(data[start:end])
        place = follows if names[follows : follows + 1] == [name] else places.get(name)
        if place is None:
            yield data[start:end]
        else:
            follows = place + 1
            yield place, 1


def _joined(steps: Iterator[_Step]) -> Iterator[_Step]:
    """The same with neighbours joined."""
    before: _Step | None = None
    for step in steps:
        if isinstance(before, bytes) and isinstance(step, bytes):
            before += step
        elif isinstance(before, tuple) and isinstance(step, tuple) and sum(before) == step[0]:
            before = (before[0], before[1] + step[1])
        else:
            if before is not None:
                yield before
            before = step
    if before is not None:
        yield before
