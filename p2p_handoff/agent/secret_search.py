# SPDX-License-Identifier: Apache-2.0
"""Searches what is about to leave for secrets. Layer: agent. Specification: docs/specs/secrets.md §3.

Everything here blocks and is called in worker threads. The searching itself runs on two threads, without the
interpreter's lock. What was searched is remembered under its digest, in memory and in the store: a round that changed
nothing costs nothing, and one that changed a file costs that file.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final

from p2p_handoff import places
from p2p_handoff.adapters.base import PartPicture, Piece
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Content, chunks_of
from p2p_handoff.content.secret_rules import RuleSet, shipped
from p2p_handoff.content.secret_search import Patterns, Scope, Searcher
from p2p_handoff.errors import ContentGoneError, NotFoundError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.store import built
from p2p_handoff.store.scans import ScanKey, Scans

_WORKERS: Final = min(2, os.cpu_count() or 1)
"""More would take the machine away from whoever works on it."""
_SHARE: Final = 256
"""Pieces that a worker searches in one go."""

PartKey = tuple[SessionId, PartId]
Place = tuple[bytes, Digest]
"""A path and what lies there."""


@dataclass(frozen=True, slots=True)
class _Result:
    place: Place
    key: ScanKey
    kinds: frozenset[str]
    known: bool = False
    """It was searched before."""
    whole: bool = True
    """False when some of it could not be read any more."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """What was found in the last picture of a part."""

    root: Digest | None = None
    """None where some of it has to be looked at again."""
    kinds: Mapping[Place, frozenset[str]] = field(default_factory=dict)


_NONE: Final = _Picture()
_BUILDING: Final = threading.Lock()


def build(rules: RuleSet, place: Path) -> Patterns:
    """Rules, ready to be searched by.

    Args:
        rules: The rules.
        place: Where they are kept once they are built, which takes a second or two.
    """
    kept = built.load(place)
    if kept is not None:
        with contextlib.suppress(ValueError):  # From before an update: built anew.
            return Patterns.load(rules, kept)
    fresh = Patterns(rules)
    built.save(place, fresh.dump())
    return fresh


@cache
def _shipped() -> Patterns:
    rules = shipped()
    return build(rules, places.cache() / f"patterns-{rules.version.hex()}")


def patterns() -> Patterns:
    """The shipped rules, ready: once in a process."""
    with _BUILDING:
        return _shipped()


class SecretSearch:
    """Searches the parts of one agent.

    Args:
        scans: Remembers what was searched.
    """

    def __init__(self, scans: Scans) -> None:
        self._scans = scans
        self._last: dict[PartKey, _Picture] = {}

    def look(self, part: PartKey, picture: PartPicture) -> list[tuple[bytes, frozenset[str]]]:
        """Paths in a picture with secrets, and the kinds of these. Blocks.

        Args:
            part: Whose picture it is: what was found in the one before is used again.
            picture: What may leave. What is gone of it by now cannot leave; what is left is searched.

        Raises:
            StorageError: Something cannot be read, or the results cannot be noted.
        """
        last = self._last.get(part, _NONE)
        if last.root == picture.root:
            return _found(last.kinds)
        kinds: dict[Place, frozenset[str]] = {}
        fresh: list[Piece] = []
        for piece in picture.pieces():
            known = last.kinds.get((piece.path, piece.content.ref))
            if known is None:
                fresh.append(piece)
            else:
                kinds[piece.path, piece.content.ref] = known
        results = self._search_all(picture, fresh)
        self._scans.note((result.key, result.kinds) for result in results if result.whole and not result.known)
        lasting = {**kinds, **{result.place: result.kinds for result in results if result.whole}}
        root = picture.root if all(result.whole for result in results) else None
        self._last[part] = _Picture(root, lasting)
        return _found({**kinds, **{result.place: result.kinds for result in results}})

    def _search_all(self, picture: PartPicture, pieces: Sequence[Piece]) -> list[_Result]:
        shares = [pieces[start : start + _SHARE] for start in range(0, len(pieces), _SHARE)]
        if len(shares) <= 1:
            return [result for share in shares for result in self._search(picture, share)]
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="search") as pool:
            try:
                searched = pool.map(partial(self._search, picture), shares)
                return [result for share in searched for result in share]
            finally:
                pool.shutdown(cancel_futures=True)

    def _search(self, picture: PartPicture, pieces: Sequence[Piece]) -> list[_Result]:
        searcher = patterns().searcher()
        return [self._searched(searcher, picture, piece) for piece in pieces]

    def _searched(self, searcher: Searcher, picture: PartPicture, piece: Piece) -> _Result:
        scope = searcher.scope(piece.path)
        place = (piece.path, piece.content.ref)
        key = ScanKey(piece.content.ref, _name_of(searcher.version, scope))
        known = self._scans.found(key)
        if known is not None:
            return _Result(place, key, known, known=True)
        reading = _Reading(picture, piece.content)
        kinds = searcher.search(reading.blocks(), scope)
        return _Result(place, key, kinds, whole=reading.whole)


class _Reading:
    """Reads a content as far as it is there still: what is gone can be sent as little as it can be searched."""

    def __init__(self, picture: PartPicture, content: Content) -> None:
        self._picture = picture
        self._content = content
        self.whole = True

    def blocks(self) -> Iterator[bytes]:
        """Its chunks in order."""
        try:
            for name, _, _ in chunks_of(self._content, self._picture.read):
                yield from self._chunk(name)
        except (ContentGoneError, NotFoundError):
            self.whole = False

    def _chunk(self, name: Digest) -> Iterator[bytes]:
        try:
            yield self._picture.read(name)
        except (ContentGoneError, NotFoundError):
            self.whole = False


def _found(kinds: Mapping[Place, frozenset[str]]) -> list[tuple[bytes, frozenset[str]]]:
    return [(path, found) for (path, _), found in kinds.items() if found]


def _name_of(version: bytes, scope: Scope) -> bytes:
    return version + " ".join(sorted(scope)).encode()
