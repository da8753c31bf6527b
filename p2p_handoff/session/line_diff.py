# SPDX-License-Identifier: Apache-2.0
"""Line differences: which runs of lines to replace so that one text becomes another. Layer: session, pure.

Three steps, cheapest first: the common beginning and end are kept; lines that occur once on both sides become
anchors (patience diff, Bram Cohen 2003: linear but for one sort); the small gaps between anchors go through
difflib, and a gap too large for its quadratic worst case is replaced whole.
Specification: docs/specs/conversation.md §2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

MAX_COMPARISONS: Final = 1_000_000
"""Largest product of two gap lengths given to difflib: its worst case at this size stays under a second."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace ``old[start:stop]`` by ``new[new_start:new_stop]``."""

    start: int
    stop: int
    new_start: int
    new_stop: int


@dataclass(frozen=True, slots=True)
class _Span:
    """A region of the old text and the region of the new text that stands in its place."""

    start: int
    stop: int
    new_start: int
    new_stop: int

    @property
    def comparisons(self) -> int:
        return (self.stop - self.start) * (self.new_stop - self.new_start)


def edits(old: Sequence[bytes], new: Sequence[bytes]) -> list[Edit]:
    """The edits that turn one list of lines into another.

    Args:
        old: Lines as they are.
        new: Lines as they shall be.

    Returns:
        Edits in ascending order, not overlapping: apply them from the last to the first and indices stay valid.
    """
    span = _trim(old, new, _Span(0, len(old), 0, len(new)))
    return [edit for gap in _gaps(old, new, span) for edit in _fill(old, new, gap)]


def _trim(old: Sequence[bytes], new: Sequence[bytes], span: _Span) -> _Span:
    """The span without what both sides have in common at its beginning and its end."""
    start, new_start, stop, new_stop = span.start, span.new_start, span.stop, span.new_stop
    while start < stop and new_start < new_stop and old[start] == new[new_start]:
        start, new_start = start + 1, new_start + 1
    while start < stop and new_start < new_stop and old[stop - 1] == new[new_stop - 1]:
        stop, new_stop = stop - 1, new_stop - 1
    return _Span(start, stop, new_start, new_stop)


def _gaps(old: Sequence[bytes], new: Sequence[bytes], span: _Span) -> Iterator[_Span]:
    """What lies between the anchors of a span, trimmed; the whole span where it is small enough already."""
    if span.comparisons <= MAX_COMPARISONS:
        yield span
        return
    start, new_start = span.start, span.new_start
    for at, new_at in [*_anchors(old, new, span), (span.stop, span.new_stop)]:
        yield _trim(old, new, _Span(start, at, new_start, new_at))
        start, new_start = at, new_at


def _anchors(old: Sequence[bytes], new: Sequence[bytes], span: _Span) -> list[tuple[int, int]]:
    """Positions of lines that occur once on each side, the longest chain that rises on both."""
    unique_old = _once(old, span.start, span.stop)
    unique_new = _once(new, span.new_start, span.new_stop)
    pairs = [(at, unique_new[line]) for line, at in unique_old.items() if line in unique_new]
    return _longest_rising(pairs)


def _once(lines: Sequence[bytes], start: int, stop: int) -> dict[bytes, int]:
    """Where each line stands that occurs exactly once in a range, in order of position."""
    count = Counter(lines[start:stop])
    return {lines[at]: at for at in range(start, stop) if count[lines[at]] == 1}


def _longest_rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence whose second members rise (patience sorting; first members rise already)."""
    tops: list[int] = []
    top_pair: list[int] = []
    before: list[int] = []
    for number, (_, new_at) in enumerate(pairs):
        pile = bisect_left(tops, new_at)
        before.append(top_pair[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [new_at]
        top_pair[pile : pile + 1] = [number]
    chain: list[tuple[int, int]] = []
    number = top_pair[-1] if top_pair else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _fill(old: Sequence[bytes], new: Sequence[bytes], gap: _Span) -> Iterator[Edit]:
    """The edits of one gap: by difflib, or one edit where one side is empty or the gap is too large."""
    if gap.start == gap.stop and gap.new_start == gap.new_stop:
        return
    if not 0 < gap.comparisons <= MAX_COMPARISONS:
        yield Edit(gap.start, gap.stop, gap.new_start, gap.new_stop)
        return
    matcher = SequenceMatcher(None, old[gap.start : gap.stop], new[gap.new_start : gap.new_stop], autojunk=False)
    for tag, start, stop, new_start, new_stop in matcher.get_opcodes():
        if tag != "equal":
            yield Edit(gap.start + start, gap.start + stop, gap.new_start + new_start, gap.new_start + new_stop)
