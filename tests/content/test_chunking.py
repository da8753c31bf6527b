# SPDX-License-Identifier: Apache-2.0
"""Where content is cut: the same everywhere, and an edit moves little."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.content.chunking import cut
from p2p_handoff.content.digests import digest
from p2p_handoff.limits import CHUNK_AVG, CHUNK_MAX, CHUNK_MIN, KIB, MIB

NOISE = Random(1).randbytes(8 * MIB)


def pieces(data: bytes) -> list[bytes]:
    return [data[offset : offset + length] for offset, length in cut(data)]


@settings(max_examples=30)
@given(st.integers(0, 900 * KIB), st.integers(0, 2**32), st.sampled_from([1, 7, 256]))
def test_chunks_cover_the_data_without_gaps_and_within_bounds(size: int, seed: int, alphabet: int) -> None:
    data = bytes(i % alphabet for i in Random(seed).randbytes(size))
    expected = 0
    lengths = []
    for offset, length in cut(data):
        assert offset == expected
        expected += length
        lengths.append(length)
    assert expected == size
    assert all(CHUNK_MIN <= length <= CHUNK_MAX for length in lengths[:-1])
    assert all(0 < length <= CHUNK_MAX for length in lengths[-1:])


@pytest.mark.parametrize("size", [0, 1, CHUNK_MIN - 1, CHUNK_MIN])
def test_a_small_buffer_is_one_chunk(size: int) -> None:
    assert list(cut(NOISE[:size])) == ([(0, size)] if size else [])


def test_the_average_is_near_what_the_limits_say() -> None:
    average = len(NOISE) / len(pieces(NOISE))
    assert 0.8 * CHUNK_AVG < average < 1.2 * CHUNK_AVG


def test_an_insertion_at_the_start_changes_few_chunks() -> None:
    before = set(map(digest, pieces(NOISE)))
    after = set(map(digest, pieces(b"a new first line\n" + NOISE)))
    assert len(after - before) <= 3


def test_every_kind_of_buffer_is_cut_alike() -> None:
    data = NOISE[:MIB]
    assert list(cut(data)) == list(cut(bytearray(data))) == list(cut(memoryview(data)))


def test_a_cut_depends_on_nothing_before_the_chunk_and_little_behind_it() -> None:
    cuts = list(cut(NOISE[: 2 * MIB]))
    for offset, length in cuts[:8]:
        window = memoryview(NOISE)[offset : offset + CHUNK_MAX]
        assert next(cut(window)) == (0, length)


def test_regression_cuts_are_those_of_the_first_release() -> None:
    # Other cuts are not wrong, but every file would be sent again once.
    assert [length for _, length in cut(NOISE[: 512 * KIB])] == [
        63283,
        54111,
        62860,
        24113,
        27575,
        63969,
        52939,
        56317,
        73240,
        45881,
    ]
