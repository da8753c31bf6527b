# SPDX-License-Identifier: Apache-2.0
"""Target: sketches and patches, each from a peer that may say anything."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import zstandard

from p2p_handoff.content import patches, strict_cbor
from p2p_handoff.content.patches import Base
from p2p_handoff.errors import LocalProtocolError
from p2p_handoff.limits import MAX_SKETCH
from tests.fuzz.target import Shape, Target, attempt, must, plan
from tests.fuzz.targets.vectors import vector

_NOISE: Final = Random(6).randbytes(3000)


def _patch(data: bytes) -> bool:
    """``[base, wanted, sketch, steps, limit]``; steps that are bytes are a payload as it is."""
    match plan(data):
        case [bytes(held), bytes(wanted), bytes(sketch), steps, int(limit)]:
            base = patches.sketched(held)
        case _:
            return False
    patches.make(wanted, sketch)  # Whatever a peer calls a sketch: no error.
    if base is None:
        must(not held, "something short has no sketch")
        return False
    _honest(base, wanted)
    return _hostile(base, steps, limit % 100_000)


def _honest(base: Base, wanted: bytes) -> None:
    must(len(base.sketch) <= MAX_SKETCH, "a sketch is longer than its limit")
    payload = patches.make(wanted, base.sketch)
    must(
        payload is None or attempt(patches.apply, payload, base, len(wanted)) == wanted, "a patch makes something else"
    )


def _hostile(base: Base, steps: Any, limit: int) -> bool:
    made = attempt(patches.apply, _payload(steps), base, limit)
    must(made is None or len(made) <= limit, "a patch makes more than it may")
    return made is not None


def _payload(steps: Any) -> bytes:
    if isinstance(steps, bytes):
        return steps
    try:
        return zstandard.ZstdCompressor(level=1).compress(strict_cbor.encode(steps))
    except LocalProtocolError:
        return b""


def _seeds() -> list[bytes]:
    golden = {name: bytes.fromhex(value) for name, value in vector("content")["patch"].items()}
    base = patches.sketched(_NOISE)
    assert base is not None
    edited = _NOISE[:1000] + b"an edit" + _NOISE[1200:]
    payload = patches.make(edited, base.sketch)
    zeros = zstandard.ZstdCompressor().compress(strict_cbor.encode([bytes(1_000_000)]))
    inputs: list[list[Any]] = [
        [golden["base"], golden["result"], golden["sketch"], golden["payload"], len(golden["result"])],
        [_NOISE, edited, base.sketch, payload, len(edited)],
        [_NOISE, edited, b"\x01" + base.sketch[1:], [[0, 1], b"more", [1, 2]], 5000],
        [_NOISE, _NOISE[::-1], base.sketch[:-1], [[0, len(base.bounds) - 1]] * 20, 60_000],
        [_NOISE, b"", b"", zeros, 99_999],
        [b"x", b"x", b"", [[0, 1]], 1],
    ]
    return [strict_cbor.encode(item) for item in inputs]


TARGETS = (
    Target(
        "patch",
        "any sketch is taken or ignored; a patch of ours makes what was wanted; none makes more than it may",
        _patch,
        Shape.CBOR,
        _seeds,
        max_bytes=16_384,
    ),
)
