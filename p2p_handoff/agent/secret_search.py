# SPDX-License-Identifier: Apache-2.0
"""Searches what is about to leave for secrets. Layer: agent. Specification: docs/specs/secrets.md §3.

Everything here blocks and is called in worker threads. What was searched is remembered under its digest, in memory
and in the store: a round that changed nothing costs nothing, and one that changed a file costs that file.

Where something may be held back: look. Where all goes and is only listed: glance, before what must not wait; then look
with ``skim``, before the list is final.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Final

from p2p_handoff import places
from p2p_handoff.adapters.base import PartPicture, Piece
from p2p_handoff.agent.piece_search import Found, Manner, Scoped, search_pieces
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.secret_rules import RuleSet, shipped
from p2p_handoff.content.secret_search import Patterns, Searcher
from p2p_handoff.errors import CancelledError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.limits import MIB
from p2p_handoff.store import built
from p2p_handoff.store.scans import ScanKey, Scans

_AT_ONCE: Final = 256
"""Pieces that a glance searches, the smallest ones …"""
_AT_ONCE_BYTES: Final = 4 * MIB
"""… and bytes of them: some hundredths of a second."""
_ALL_OF_IT: Final = b""
_BUT_FOR_NOISE: Final = b" but for noise"
"""What names the rules in the store ends so: how a content was searched."""

PartKey = tuple[SessionId, PartId]
Place = tuple[bytes, Digest]
"""A path and what lies there."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """What was found in the last picture of a part."""

    root: Digest | None = None
    """None where some of it has to be looked at again."""
    kinds: Mapping[Place, frozenset[str]] = field(default_factory=dict)
    skimmed: frozenset[Place] = frozenset()
    """What of it was searched but for its noise."""


@dataclass(slots=True)
class _Looking:
    """What is known of the pieces of one picture while it is looked at."""

    root: Digest
    kinds: dict[Place, frozenset[str]] = field(default_factory=dict)
    skimmed: set[Place] = field(default_factory=set)
    unknown: list[Scoped] = field(default_factory=list)
    gone: set[Place] = field(default_factory=set)
    """What could not be read as it was."""

    def found(self) -> list[tuple[bytes, frozenset[str]]]:
        """Paths with secrets, and their kinds."""
        return _found(self.kinds)

    def lasting(self) -> _Picture:
        """What the next look may rely on."""
        kinds = {place: kinds for place, kinds in self.kinds.items() if place not in self.gone}
        is_whole = not self.gone and not self.unknown
        return _Picture(self.root if is_whole else None, kinds, frozenset(self.skimmed - self.gone))


_NONE: Final = _Picture()
_NICE: Final = 5
"""Of the thread that builds patterns ahead: whoever waits for them waits for it."""
_STOP_POLL: Final = 0.05
"""Seconds after which a look that waits for its turn asks whether it is stopped."""
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


def build_ahead() -> None:
    """Have the patterns built in the background, so that nobody's first handoff waits for it."""
    if not _shipped.cache_info().currsize:
        threading.Thread(target=_build_gently, name="patterns", daemon=True).start()


def _build_gently() -> None:
    if sys.platform == "linux":  # Elsewhere a priority is the whole process's.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    patterns()


class SecretSearch:
    """Searches the parts of one agent.

    Args:
        scans: Remembers what was searched.
    """

    def __init__(self, scans: Scans) -> None:
        self._scans = scans
        self._last: dict[PartKey, _Picture] = {}
        self._noting = threading.Lock()
        self._turns: dict[PartKey, threading.Lock] = {}
        """Held while a part is looked at: who comes second finds it done."""

    def look(
        self, part: PartKey, picture: PartPicture, *, skim: bool = False, stop: threading.Event | None = None
    ) -> list[tuple[bytes, frozenset[str]]]:
        """Paths in a picture with secrets, and the kinds of these. Blocks.

        Args:
            part: Whose picture it is: what was found in the one before is used again.
            picture: What may leave. What is gone of it by now cannot leave; what is left is searched.
            skim: Pass over what looks compressed or encrypted. Only where nothing is held back.
            stop: Set from any thread to end the search.

        Raises:
            CancelledError: It was stopped.
            StorageError: Something cannot be read.
        """
        with self._noting:
            turn = self._turns.setdefault(part, threading.Lock())
        stop = stop or threading.Event()
        while not turn.acquire(timeout=_STOP_POLL):
            if stop.is_set():
                raise CancelledError("the search was stopped")
        try:
            known = self._unchanged(part, picture, skim=skim)
            if known is not None:
                return known
            looking = self._known(part, picture, skim=skim)
            self._search(picture, looking, looking.unknown, Manner(skim, stop))
            looking.unknown = []
            return self._keep(part, looking)
        finally:
            turn.release()

    def glance(self, part: PartKey, picture: PartPicture) -> list[tuple[bytes, frozenset[str]]]:
        """What is known of a picture without a long search; waits for no other look. The smallest files are searched.

        Args:
            part: Whose picture it is.
            picture: What will leave, whatever is in it.

        Raises:
            StorageError: Something cannot be read.
        """
        known = self._unchanged(part, picture, skim=True)
        if known is not None:
            return known
        looking = self._known(part, picture, skim=True)
        smallest = sorted(looking.unknown, key=lambda scoped: scoped.piece.content.size)[:_AT_ONCE]
        sums = accumulate(scoped.piece.content.size for scoped in smallest)
        now = [scoped for scoped, size in zip(smallest, sums, strict=True) if size <= _AT_ONCE_BYTES]
        self._search(picture, looking, now, Manner(skim=True, stop=threading.Event()))
        done = {_place(scoped.piece) for scoped in now}
        looking.unknown = [scoped for scoped in looking.unknown if _place(scoped.piece) not in done]
        return self._keep(part, looking)

    def _unchanged(
        self, part: PartKey, picture: PartPicture, *, skim: bool
    ) -> list[tuple[bytes, frozenset[str]]] | None:
        last = self._last.get(part, _NONE)
        is_known = last.root == picture.root and (skim or not last.skimmed)
        return _found(last.kinds) if is_known else None

    def _known(self, part: PartKey, picture: PartPicture, *, skim: bool) -> _Looking:
        """What is remembered of a picture, in memory or in the store."""
        last = self._last.get(part, _NONE)
        looking = _Looking(picture.root)
        fresh: list[Scoped] = []
        searcher: Searcher | None = None
        for piece in picture.pieces():
            place = _place(piece)
            known = last.kinds.get(place)
            if known is not None and (skim or place not in last.skimmed):
                looking.kinds[place] = known
                if place in last.skimmed:
                    looking.skimmed.add(place)
                continue
            searcher = searcher or patterns().searcher()
            fresh.append(Scoped(piece, searcher.scope(piece.path)))
        self._ask(looking, fresh, _ALL_OF_IT)
        if skim:
            fresh, looking.unknown = looking.unknown, []
            self._ask(looking, fresh, _BUT_FOR_NOISE)
        return looking

    def _ask(self, looking: _Looking, fresh: Sequence[Scoped], manner: bytes) -> None:
        keys = [_key(scoped, manner) for scoped in fresh]
        known = self._scans.found(keys)
        for scoped, key in zip(fresh, keys, strict=True):
            kinds = known.get(key)
            if kinds is None:
                looking.unknown.append(scoped)
                continue
            looking.kinds[_place(scoped.piece)] = kinds
            if manner == _BUT_FOR_NOISE:
                looking.skimmed.add(_place(scoped.piece))

    def _search(self, picture: PartPicture, looking: _Looking, pieces: Sequence[Scoped], manner: Manner) -> None:
        results = search_pieces(patterns(), picture, pieces, manner) if pieces else []
        searched = list(zip(pieces, results, strict=True))
        for scoped, found in searched:
            place = _place(scoped.piece)
            looking.kinds[place] = found.kinds
            if found.skimmed:
                looking.skimmed.add(place)
            if not found.whole:
                looking.gone.add(place)
        self._scans.note((_key(scoped, _manner(found)), found.kinds) for scoped, found in searched if found.whole)

    def _keep(self, part: PartKey, looking: _Looking) -> list[tuple[bytes, frozenset[str]]]:
        """Remember what was seen, unless more of the same picture was remembered meanwhile."""
        with self._noting:
            if self._last.get(part, _NONE).root != looking.root or not looking.unknown:
                self._last[part] = looking.lasting()
        return looking.found()


def _manner(found: Found) -> bytes:
    return _BUT_FOR_NOISE if found.skimmed else _ALL_OF_IT


def _place(piece: Piece) -> Place:
    return piece.path, piece.content.ref


def _found(kinds: Mapping[Place, frozenset[str]]) -> list[tuple[bytes, frozenset[str]]]:
    return [(path, found) for (path, _), found in kinds.items() if found]


def _key(scoped: Scoped, manner: bytes) -> ScanKey:
    version = shipped().version
    return ScanKey(scoped.piece.content.ref, version + " ".join(sorted(scoped.scope)).encode() + manner)
