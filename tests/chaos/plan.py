# SPDX-License-Identifier: Apache-2.0
"""Which cases a form consists of: every point where that is affordable, evenly spread ones elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos import small_disk
from tests.chaos.cases import AFTER, BEFORE, KINDS, Case, Kind, Side, Stage, Way, kind_named
from tests.chaos.messages import PLACES
from tests.chaos.programmes import FOR_MESSAGES, PROGRAMMES
from tests.chaos.warden import Call

Measured = Mapping[tuple[Way, Stage, Side], Sequence[Call]]
"""What each side did in a handoff without faults."""


@dataclass(frozen=True, slots=True)
class Share:
    """One row of a form."""

    kind: str
    way: Way
    every: int
    """1 takes every point, 10 every tenth."""
    engine: str = "auto"


FORMS: Final[Mapping[str, tuple[Share, ...]]] = {
    "default": (
        Share("kill", Way.PUSH, 1),
        Share("kill", Way.UNDO, 1),
        Share("kill", Way.FORCE, 1),
        Share("kill", Way.MEET, 4),
        Share("power", Way.PUSH, 8),
        Share("power", Way.UNDO, 8),
        Share("power", Way.FORCE, 16),
        Share("power", Way.MEET, 32),
        Share("again", Way.UNDO, 16),
        Share("again", Way.MEET, 64),
        Share("kill", Way.TAKE, 20),
        Share("kill", Way.PUSH, 40, "aiortc"),
        Share("send", Way.PUSH, 20),
        Share("both", Way.PUSH, 24),
        Share("again", Way.PUSH, 24),
        Share("cut", Way.PUSH, 40),
        Share("full", Way.PUSH, 24),
        Share("eio", Way.PUSH, 16),
        Share("stop", Way.PUSH, 100),
        Share("tmpfs", Way.PUSH, 1),
    ),
    "long": (
        Share("kill", Way.PUSH, 1),
        Share("kill", Way.UNDO, 1),
        Share("kill", Way.FORCE, 1),
        Share("kill", Way.MEET, 1),
        Share("power", Way.PUSH, 2),
        Share("power", Way.UNDO, 2),
        Share("power", Way.FORCE, 2),
        Share("power", Way.MEET, 8),
        Share("again", Way.UNDO, 4),
        Share("again", Way.FORCE, 4),
        Share("again", Way.MEET, 16),
        Share("kill", Way.TAKE, 4),
        Share("kill", Way.PUSH, 8, "aiortc"),
        Share("send", Way.PUSH, 4),
        Share("both", Way.PUSH, 6),
        Share("again", Way.PUSH, 6),
        Share("cut", Way.PUSH, 1),
        Share("full", Way.PUSH, 4),
        Share("eio", Way.PUSH, 4),
        Share("stop", Way.PUSH, 30),
        Share("tmpfs", Way.PUSH, 1),
    ),
}
CI_OTHERS: Final = ("send", "power", "both", "again", "stop", "cut", "full", "eio", "tmpfs")
"""Each once in the short form, and then kills at evenly spread points as long as there is time."""
CI_PROGRAMMES: Final = (
    (Way.UNDO, Stage.HANDED, Side.SOURCE),
    (Way.FORCE, Stage.UNDECIDED, Side.SOURCE),
    (Way.MEET, Stage.FORKED, Side.SOURCE),
    (Way.MEET, Stage.PARTED, Side.TARGET),
)
"""One kill of each programme that is no handoff."""
CI_MESSAGES: Final = ((BEFORE, "accepted"), (AFTER, "grant"))
"""Cuts at messages in the short form."""
CI_KILLS: Final = 240
_GOLDEN: Final = 0.618033988749895


def places(form: str) -> list[tuple[Way, Stage]]:
    """Where the points of a form are counted."""
    if form in FORMS:
        counted = [way for way in PROGRAMMES if way not in FOR_MESSAGES]
        return [(way, stage) for way in counted for stage in PROGRAMMES[way].stages]
    others = [(way, stage) for way, stage, _ in CI_PROGRAMMES] if form == "ci" else []
    return [*((Way.PUSH, stage) for stage in PROGRAMMES[Way.PUSH].stages), *others]


def cases(form: str, measured: Measured, seed: int) -> list[Case]:
    """The cases of a form, in the order in which they are run."""
    if form == "ci":
        return list(_short(measured, seed))
    return [*(case for share in FORMS[form] for case in _shared(share, measured, seed)), *_messages()]


def mixed(cases: Sequence[Case]) -> list[Case]:
    """All of them, so that the first ones are evenly spread over all, however few there is time for."""
    order = sorted(range(len(cases)), key=lambda index: index * _GOLDEN % 1)
    return [cases[index] for index in order]


def part_of(cases: Sequence[Case], part: str) -> list[Case]:
    """One part of several that together are all.

    Args:
        cases: All.
        part: Such as ``2/5``.

    Raises:
        ValueError: There is no such part.
    """
    number, _, count = part.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ValueError(f"{part!r} is no part, such as 2/5")
    return list(cases[int(number) - 1 :: int(count)])


def _messages() -> Iterator[Case]:
    """The link is cut before and after every message, wherever it is sent."""
    for message, where in PLACES.items():
        for place in where:
            for when in (BEFORE, AFTER):
                yield Case(kind_named(f"{when}-{message}"), place.way, place.stage, place.side, 1)


def points(kind: Kind, calls: Sequence[Call]) -> list[int]:
    """The numbers of the points of a kind, among the calls of a handoff: only calls that it counts have one."""
    counted = [call for call in calls if call.act in kind.acts]
    return list(range(1, len(counted) + 1))


def _shared(share: Share, measured: Measured, seed: int) -> Iterator[Case]:
    kind = KINDS[share.kind]
    programme = PROGRAMMES[share.way]
    for stage in programme.stages:
        for side in programme.sides:
            if kind.name == "tmpfs":
                chosen = [] if small_disk.missing() else [0, 1, 2]
            else:
                chosen = points(kind, measured[share.way, stage, side])[seed % share.every :: share.every]
            yield from (Case(kind, share.way, stage, side, point, share.engine) for point in chosen)


def _short(measured: Measured, seed: int) -> Iterator[Case]:
    """A low-discrepancy walk: however early it is ended, what was visited is evenly spread."""
    both = [(stage, side) for stage in PROGRAMMES[Way.PUSH].stages for side in Side]
    for index, name in enumerate(CI_OTHERS):
        if name == "tmpfs" and small_disk.missing():
            continue
        stage, side = both[(index + seed) % len(both)]
        yield _at(KINDS[name], Way.PUSH, (stage, side), measured, (index + seed) * _GOLDEN % 1)
    for name, message in CI_MESSAGES:
        place = PLACES[message][-1]
        yield Case(kind_named(f"{name}-{message}"), place.way, place.stage, place.side, 1)
    for index, (way, stage, side) in enumerate(CI_PROGRAMMES):
        yield _at(KINDS["kill"], way, (stage, side), measured, (index + seed) * _GOLDEN % 1)
    for index in range(CI_KILLS):
        way = Way.TAKE if index % 6 == 5 else Way.PUSH
        yield _at(KINDS["kill"], way, both[index % len(both)], measured, (index + seed) * _GOLDEN % 1)


def _at(kind: Kind, way: Way, place: tuple[Stage, Side], measured: Measured, share: float) -> Case:
    stage, side = place
    calls = measured.get((way, stage, side)) or measured[Way.PUSH, stage, side]  # A take makes about as many.
    possible = [0, 1, 2] if kind.name == "tmpfs" else points(kind, calls)
    return Case(kind, way, stage, side, possible[int(share * len(possible))])
