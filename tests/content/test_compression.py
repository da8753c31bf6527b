# SPDX-License-Identifier: Apache-2.0
"""Compression where it pays, and a receiver that no payload can make allocate more than it agreed to."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content.compression import Encoding, Packer, unpack
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import CHUNK_MIN, KIB, MIB

TEXT = b"".join(b"line %d of a log that repeats itself\n" % i for i in range(2000))
NOISE = Random(2).randbytes(64 * KIB)


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_every_chunk_survives(data: bytes, repeat: int) -> None:
    data *= repeat
    encoding, payload = Packer().pack(data)
    assert unpack(encoding, payload, len(data)) == data
    assert len(payload) <= len(data)


def test_text_is_compressed_and_noise_is_not() -> None:
    assert Packer().pack(TEXT)[0] is Encoding.ZSTD
    assert len(Packer().pack(TEXT)[1]) < len(TEXT) / 4
    assert Packer().pack(NOISE) == (Encoding.RAW, NOISE)


def test_a_gain_below_five_percent_is_left() -> None:
    slightly = NOISE[:62000] + bytes(2000)
    assert Packer().pack(slightly)[0] is Encoding.RAW


def test_small_files_between_noise_are_compressed_always() -> None:
    packer = Packer()
    for _ in range(40):
        packer.pack(NOISE)
        assert packer.pack(TEXT[: CHUNK_MIN - 1])[0] is Encoding.ZSTD


def test_chunks_after_noise_are_tried_one_in_sixteen() -> None:
    packer = Packer()
    for _ in range(5):
        packer.pack(NOISE)
    first = next(place for place in range(16) if packer.pack(TEXT)[0] is Encoding.ZSTD)
    assert first == 10
    assert packer.pack(TEXT)[0] is Encoding.ZSTD


def test_a_bomb_allocates_nothing() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 * MIB))
    assert len(bomb) < 10 * KIB
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="declares 67108864 bytes"):
        unpack(Encoding.ZSTD, bomb, 256 * KIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB


def lying_frame() -> bytes:
    """A frame whose header declares 1,000 bytes and whose blocks hold 100,000."""
    frame = zstandard.ZstdCompressor(level=1).compress(bytes(100_000))
    honest = (100_000).to_bytes(4, "little")
    assert honest in frame[:10]
    return frame.replace(honest, (1_000).to_bytes(4, "little"), 1)


def undeclared_frame() -> bytes:
    return zstandard.ZstdCompressor(level=1, write_content_size=False).compress(TEXT)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not zstd",
        Packer().pack(TEXT)[1][:-1],
        Packer().pack(TEXT)[1][:9],
        Packer().pack(TEXT)[1] + b"\0",
        Packer().pack(TEXT)[1] * 2,
        b"\x50\x2a\x4d\x18\x04\0\0\0skip" + Packer().pack(TEXT)[1],
        b"\x50\x2a\x4d\x18\x04\0\0\0skip",
        zstandard.ZstdCompressor().compress(b""),
        lying_frame(),
        undeclared_frame(),
    ],
    ids=[
        "empty",
        "junk",
        "cut",
        "header",
        "tail",
        "twice",
        "skippable-first",
        "skippable",
        "nothing",
        "lie",
        "undeclared",
    ],
)
def test_a_broken_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(IntegrityError):
        unpack(Encoding.ZSTD, payload, 1 * MIB)


def test_the_limit_is_exact_for_both_encodings() -> None:
    assert unpack(Encoding.RAW, b"abc", 3) == b"abc"
    assert unpack(*Packer().pack(TEXT), len(TEXT)) == TEXT
    with pytest.raises(IntegrityError):
        unpack(Encoding.RAW, b"abc", 2)
    with pytest.raises(IntegrityError):
        unpack(*Packer().pack(TEXT), len(TEXT) - 1)


@pytest.mark.parametrize("encoding", [-1, 2, 255])
def test_an_unknown_encoding_is_refused(encoding: int) -> None:
    with pytest.raises(IntegrityError, match="unknown encoding"):
        unpack(encoding, b"", 10)
