# SPDX-License-Identifier: Apache-2.0
"""Patches: what resembles a base costs what differs, and no patch makes more than it may or anything unnoticed."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.content import patches, strict_cbor
from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import encode_index
from p2p_handoff.content.patches import BLOCK_DIGEST_BYTES, Base
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import KIB, MAX_OBJECT, MAX_SKETCH, MIB

NOISE = Random(3).randbytes(9 * MIB)


def base_of(data: bytes) -> Base:
    base = patches.sketched(data)
    assert base is not None
    return base


def patch_of(data: bytes, base: Base) -> bytes:
    payload = patches.make(data, base.sketch)
    assert payload is not None
    return payload


def wire(*steps: object) -> bytes:
    """A patch of any steps."""
    return zstandard.ZstdCompressor().compress(strict_cbor.encode(list(steps)))


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3000), st.binary(max_size=900)), max_size=4)


@settings(max_examples=60)
@given(st.integers(1, 200_000), st.sampled_from([1, 5, 256]), EDITS)
def test_whatever_is_edited_comes_out(size: int, alphabet: int, edits: list[tuple[int, int, bytes]]) -> None:
    before = bytes(byte % alphabet for byte in NOISE[:size])
    after = before
    for place, removed, inserted in edits:
        start = place % (len(after) + 1)
        after = after[:start] + inserted + after[start + removed :]
    base = patches.sketched(before)
    payload = patches.make(after, base.sketch) if base is not None else None
    if base is not None and payload is not None:
        assert patches.apply(payload, base, len(after)) == after


@pytest.mark.parametrize("size", [1, 255, 256, 257, 5 * KIB, 256 * KIB, 256 * KIB + 1, MAX_OBJECT])
def test_what_did_not_change_costs_one_run(size: int) -> None:
    base = base_of(NOISE[:size])
    assert len(base.sketch) <= MAX_SKETCH
    payload = patch_of(NOISE[:size], base)
    assert len(payload) < 24
    assert patches.apply(payload, base, size) == NOISE[:size]


def test_a_kilobyte_in_a_chunk_costs_a_few() -> None:
    before = NOISE[: 64 * KIB]
    after = before[:30_000] + NOISE[MIB : MIB + 1000] + before[31_000:]
    base = base_of(before)
    payload = patch_of(after, base)
    assert patches.apply(payload, base, len(after)) == after
    assert len(base.sketch) + len(payload) < 8 * KIB


def test_an_index_with_one_other_child_costs_less_than_half_of_it() -> None:
    children = [(digest(b"%d" % number), 60_000, 60_000) for number in range(200)]
    before = encode_index(1, children)
    children[100] = (digest(b"edited"), 61_000, 61_000)
    after, base = encode_index(1, children), base_of(before)
    payload = patch_of(after, base)
    assert patches.apply(payload, base, len(after)) == after
    assert len(base.sketch) + len(payload) < len(after) / 2


def test_blocks_that_occur_more_than_once_make_long_runs() -> None:
    before = NOISE[: 20 * KIB] * 8
    base = base_of(before)
    payload = patch_of(before + b"the end", base)
    assert patches.apply(payload, base, len(before) + 7) == before + b"the end"
    assert len(payload) < 1500


def test_what_has_nothing_in_common_gets_no_patch() -> None:
    assert patches.make(NOISE[: 64 * KIB], base_of(NOISE[MIB : MIB + 64 * KIB]).sketch) is None
    assert patches.make(b"", base_of(b"something").sketch) is None


@pytest.mark.parametrize(
    "sketch",
    [b"", b"\0", b"\x02" + bytes(6), b"\xff" + bytes(6), bytes(6), bytes(8)],
    ids=["empty", "no blocks", "unknown", "unknown too", "short", "long"],
)
def test_a_sketch_that_is_not_understood_costs_nothing_but_a_patch(sketch: bytes) -> None:
    assert patches.make(NOISE[:1000], sketch) is None


def test_what_makes_no_useful_base_has_no_sketch() -> None:
    assert patches.sketched(b"") is None
    assert patches.sketched(NOISE[: MAX_OBJECT + 1]) is None


def test_content_that_is_cut_into_too_many_blocks_has_no_sketch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "_MAX_BLOCKS", 10)
    assert patches.sketched(NOISE[: 64 * KIB]) is None


BASE = base_of(NOISE[: 20 * KIB])
BLOCKS = len(BASE.bounds) - 1


def test_a_sketch_names_each_block() -> None:
    assert BASE.bounds[0] == 0
    assert BASE.bounds[-1] == len(BASE.data)
    assert len(BASE.sketch) == 1 + BLOCK_DIGEST_BYTES * BLOCKS


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"junk",
        zstandard.ZstdCompressor().compress(b"junk"),
        zstandard.ZstdCompressor().compress(strict_cbor.encode({})),
        zstandard.ZstdCompressor().compress(strict_cbor.encode([]) + b"\0"),
        wire(1),
        wire("text"),
        wire([]),
        wire([1]),
        wire([0, 0]),
        wire([0, -1]),
        wire([-1, 1]),
        wire([0, BLOCKS + 1]),
        wire([BLOCKS, 1]),
        wire([1, BLOCKS]),
        wire([2**62, 2**62]),
        wire([0, 1, 1]),
        wire([0, b"1"]),
        wire([[0], 1]),
        wire(*([b""] * 60_000)),
    ],
)
def test_a_broken_patch_is_refused(payload: bytes) -> None:
    with pytest.raises(IntegrityError):
        patches.apply(payload, BASE, 20 * KIB)


def test_the_limit_is_exact() -> None:
    payload = wire([0, BLOCKS], b"more")
    assert patches.apply(payload, BASE, 20 * KIB + 4) == BASE.data + b"more"
    with pytest.raises(IntegrityError, match="more than"):
        patches.apply(payload, BASE, 20 * KIB + 3)


@pytest.mark.parametrize(
    "bomb",
    [
        wire(*([[0, BLOCKS]] * 8000)),
        zstandard.ZstdCompressor().compress(strict_cbor.encode([bytes(64 * MIB)])),
    ],
    ids=["copies", "zeros"],
)
def test_a_bomb_allocates_little(bomb: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(IntegrityError):
        patches.apply(bomb, BASE, 64 * KIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


@settings(max_examples=100)
@given(st.binary(max_size=300), st.integers(0, 40_000))
def test_no_payload_makes_more_than_its_limit(payload: bytes, limit: int) -> None:
    for tried in (payload, zstandard.ZstdCompressor().compress(payload) if payload else b""):
        try:
            made = patches.apply(tried, BASE, limit)
        except IntegrityError:
            continue
        assert len(made) <= limit
