# SPDX-License-Identifier: Apache-2.0
"""Searches pieces of a picture on two threads. Layer: agent. Specification: docs/specs/secrets.md §3.

Everything here blocks and is called in worker threads; the searching itself runs without the interpreter's lock. Small
files are searched in shares, a large one is cut in stretches that overlap as windows do: both
threads are busy either way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import Final

from p2p_handoff.adapters.base import PartPicture, Piece
from p2p_handoff.content.compression import Packer
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import chunks_of
from p2p_handoff.content.secret_search import TEXT_RUN, Patterns, Scope, Searcher
from p2p_handoff.errors import CancelledError, ContentGoneError, NotFoundError
from p2p_handoff.limits import MIB, SECRET_OVERLAP, SECRET_WINDOW

_WORKERS: Final = min(2, os.cpu_count() or 1)
"""More would take the machine away from whoever works on it."""
_SHARE: Final = 256
"""Pieces that a worker searches in one go …"""
_SHARE_BYTES: Final = 8 * MIB
"""… or bytes of them."""
_LARGE: Final = 4 * SECRET_WINDOW
"""Bytes of a piece that is cut in stretches."""
_PASSED_OVER: Final = b"\0"
"""Stands for the inside of a chunk that is not searched: what lies on either side of it does not come together."""


@dataclass(frozen=True, slots=True)
class Scoped:
    """A piece, and the rules held to paths that hold there."""

    piece: Piece
    scope: Scope


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a piece."""

    kinds: frozenset[str]
    whole: bool = True
    """False when some of it could not be read any more."""
    skimmed: bool = False
    """True when chunks of it were passed over as noise."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is searched.

    Args:
        skim: Pass over chunks that look compressed or encrypted and have no text in them.
        stop: Set from any thread where the result is not needed any more.
    """

    skim: bool
    stop: threading.Event


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A piece from one byte to another, but for the bytes before it that are searched again."""

    number: int
    """Of the piece."""
    piece: Scoped
    begin: int
    end: int


def search_pieces(patterns: Patterns, picture: PartPicture, pieces: Sequence[Scoped], manner: Manner) -> list[Found]:
    """What is in each of some pieces, in their order. Blocks.

    Args:
        patterns: What to look for.
        picture: Where they are read. What is gone of it is not searched.
        pieces: What to search.
        manner: How.

    Raises:
        CancelledError: It was stopped.
        StorageError: Something cannot be read.
    """
    shares = list(_shares(pieces))
    search = partial(_search_share, patterns, picture, manner)
    if len(shares) <= 1:
        stretches = [one for share in shares for one in search(share)]
    else:
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="search") as pool:
            try:
                stretches = [one for share in pool.map(search, shares) for one in share]
            finally:
                pool.shutdown(cancel_futures=True)
    parts: list[list[Found]] = [[] for _ in pieces]
    for number, found in stretches:
        parts[number].append(found)
    return [_together(patterns, part) for part in parts]


def _together(patterns: Patterns, parts: Sequence[Found]) -> Found:
    hits = frozenset(chain.from_iterable(part.kinds for part in parts))
    settled = patterns.rules.settled(hits)
    return Found(settled, all(part.whole for part in parts), any(part.skimmed for part in parts))


def _shares(pieces: Iterable[Scoped]) -> Iterator[list[_Stretch]]:
    share: list[_Stretch] = []
    size = 0
    for number, scoped in enumerate(pieces):
        length = scoped.piece.content.size
        if length >= _LARGE:
            yield from ([stretch] for stretch in _stretches(number, scoped, length))
            continue
        share.append(_Stretch(number, scoped, 0, length))
        size += length
        if len(share) == _SHARE or size >= _SHARE_BYTES:
            yield share
            share, size = [], 0
    if share:
        yield share


def _stretches(number: int, scoped: Scoped, length: int) -> Iterator[_Stretch]:
    """One for each thread: each walks through the list of all chunks."""
    edges = [length * place // _WORKERS for place in range(_WORKERS + 1)]
    return (_Stretch(number, scoped, begin, end) for begin, end in pairwise(edges))


def _search_share(
    patterns: Patterns, picture: PartPicture, manner: Manner, share: Sequence[_Stretch]
) -> list[tuple[int, Found]]:
    searcher = patterns.searcher()
    packer = Packer()
    found: list[tuple[int, Found]] = []
    with picture.reading():
        for stretch in share:
            reading = _Reading(picture, stretch, manner, _Noise(packer, searcher))
            hits = searcher.hits(reading.blocks(), stretch.piece.scope)
            found.append((stretch.number, Found(hits, reading.whole, reading.skimmed)))
    return found


@dataclass(frozen=True, slots=True)
class _Noise:
    """Knows chunks that no rule can judge by their inside."""

    packer: Packer
    searcher: Searcher

    def is_all(self, data: bytes) -> bool:
        return self.packer.is_noise(data) and not self.searcher.has_text(data)


class _Reading:
    """Reads a stretch as far as it is there still: what is gone can be sent as little as it can be searched."""

    def __init__(self, picture: PartPicture, stretch: _Stretch, manner: Manner, noise: _Noise) -> None:
        self._picture = picture
        self._stretch = stretch
        self._manner = manner
        self._noise = noise
        self.whole = True
        self.skimmed = False

    def blocks(self) -> Iterator[bytes]:
        """Its chunks in order, whole ones at both ends."""
        begin = max(0, self._stretch.begin - SECRET_OVERLAP)
        try:
            for name, offset, length in chunks_of(self._stretch.piece.piece.content, self._picture.read):
                if offset >= self._stretch.end:
                    return
                if offset + length > begin:
                    yield from self._chunk(name)
        except (ContentGoneError, NotFoundError):
            self.whole = False

    def _chunk(self, name: Digest) -> Iterator[bytes]:
        if self._manner.stop.is_set():
            raise CancelledError("the search was stopped")
        try:
            data = self._picture.read(name)
        except (ContentGoneError, NotFoundError):
            self.whole = False
            return
        if self._manner.skim and self._noise.is_all(data):
            self.skimmed = True
            # Text may lie across the edge of a chunk, with too little of it on either side.
            data = data[:TEXT_RUN] + _PASSED_OVER + data[-TEXT_RUN:]
        yield data
