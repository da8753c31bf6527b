# SPDX-License-Identifier: Apache-2.0
"""zstd for a chunk on its way, where it pays. Layer: content, pure. Specification: docs/specs/content.md §2.

Compression belongs to the transfer: digests always name the uncompressed bytes. ``unpack`` is thread-safe, a ``Packer``
is one thread's: it keeps its context, which costs more than a small chunk does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import zstandard

from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import CHUNK_MIN, KIB, MAX_OBJECT


class Encoding(IntEnum):
    """How a payload represents its bytes."""

    RAW = 0
    ZSTD = 1
    PATCH = 2
    """Against a base that the receiver has and described: ``content.patches``, not this module, takes it."""


_LEVEL: Final = 1
_WORTH_IT: Final = 0.95
_MIN_COMPRESSIBLE: Final = 64
"""Bytes below which a frame's header eats the gain."""


_ONE_OF_MANY: Final = CHUNK_MIN
"""Bytes; what has fewer is a small file, and tells nothing of what comes next."""
_NOISE: Final = 4
"""After so many chunks in a row that are not worth it, the next ones are taken for the same …"""
_PROBE: Final = 16
"""… except for one of so many."""


_SAMPLE: Final = 2 * KIB


class Packer:
    """Chooses how chunks are sent that follow each other; one thread at a time."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._noise = 0
        """Large chunks since the last one that was worth it."""

    def pack(self, data: bytes) -> tuple[Encoding, bytes]:
        """The representation to send: compressed if that saves 5 % or more.

        Level 1 skips through 64 random KiB in 21 microseconds; within a long run of such chunks it is not even tried.
        """
        if len(data) < _MIN_COMPRESSIBLE or self._is_passed_over(data):
            return Encoding.RAW, data
        packed = self._compressor.compress(data)
        if len(packed) > len(data) * _WORTH_IT:
            return Encoding.RAW, data
        self._noise = 0
        return Encoding.ZSTD, packed

    def is_noise(self, data: bytes) -> bool:
        """True for what looks compressed or encrypted already: neither its beginning nor its end gets shorter."""
        sample = data[:_SAMPLE] + data[-_SAMPLE:]
        return len(data) >= CHUNK_MIN and len(self._compressor.compress(sample)) > len(sample) * _WORTH_IT

    def _is_passed_over(self, data: bytes) -> bool:
        if len(data) < _ONE_OF_MANY:
            return False
        self._noise += 1
        return self._noise > _NOISE and self._noise % _PROBE != 0


def unpack(encoding: int, payload: bytes, size_limit: int) -> bytes:
    """The bytes behind a received payload. Never makes more than ``size_limit`` bytes, whatever the payload declares.

    Args:
        encoding: A value of Encoding, unchecked.
        payload: As received.
        size_limit: Most bytes that the result may have.

    Raises:
        IntegrityError: An unknown encoding, a broken frame, anything behind it, or a result beyond the limit.
    """
    if encoding == Encoding.RAW:
        if len(payload) > size_limit:
            raise IntegrityError(f"{len(payload)} bytes where at most {size_limit} were announced")
        return payload
    if encoding == Encoding.ZSTD:
        return _decompress(payload, size_limit)
    raise IntegrityError(f"unknown encoding {encoding} of a chunk")


def _decompress(payload: bytes, size_limit: int) -> bytes:
    # The library allocates what a frame declares and ignores a smaller max_output_size: 1 GiB out of 32 KB.
    # So a frame must declare its size, and the size is judged before the library acts on it.
    try:
        declared = zstandard.get_frame_parameters(payload).content_size
        if not 0 < declared <= size_limit:
            raise IntegrityError(f"a compressed chunk declares {declared} bytes where at most {size_limit} are allowed")
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_OBJECT)
        data = decompressor.decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"a compressed chunk is broken: {error}") from error
    return data
