# SPDX-License-Identifier: Apache-2.0
"""Bugs that are planted in the agents on purpose: the runs must find every one of them.

The bug itself is in tests/chaos/sabotage/sitecustomize.py; the product is not changed. Here stands where it would show:
a landmark among the calls of a handoff, and the points around it that are tried until a promise is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.cases import KINDS, Case, Side, Stage, Way
from tests.chaos.plan import Measured
from tests.chaos.warden import Call


@dataclass(frozen=True, slots=True)
class Bug:
    """One of them."""

    name: str
    kind: str
    stage: Stage
    side: Side
    landmark: tuple[str, str]
    """The call, and the file it works on."""
    around: range
    """Offsets from the landmark that are tried."""


BUGS: Final = (
    Bug("commits-are-forgotten", "kill", Stage.FIRST, Side.TARGET, ("renameat2", "work"), range(2, 8, 2)),
    Bug("refusal-is-said-unstored", "kill", Stage.FIRST, Side.TARGET, ("renameat2", "work"), range(-16, -4, 2)),
    Bug("commits-are-not-synced", "power", Stage.FIRST, Side.SOURCE, ("renameat", "frozen"), range(4, 24, 2)),
    Bug("files-are-not-synced", "power", Stage.UPDATE, Side.TARGET, ("renameat2", "talk.jsonl"), range(-1, 6)),
    Bug("restart-thaws", "kill", Stage.FIRST, Side.SOURCE, ("renameat", "frozen"), range(8, 24, 2)),
    Bug("files-are-overwritten-in-place", "kill", Stage.UPDATE, Side.TARGET, ("renameat2", "talk.jsonl"), range(8)),
    Bug("goes-on-after-io-errors", "eio", Stage.UPDATE, Side.SOURCE, ("renameat", "frozen"), range(-3, 9)),
)


def cases(bug: Bug, measured: Measured) -> Iterator[Case]:
    """Where a bug is looked for, one after the other until it shows.

    Raises:
        ValueError: The landmark is not there any more.
    """
    kind = KINDS[bug.kind]
    calls = [call for call in measured[Way.PUSH, bug.stage, bug.side] if call.act in kind.acts]
    middle = _index(bug, measured[Way.PUSH, bug.stage, bug.side], calls)
    for offset in bug.around:
        if 0 <= middle + offset < len(calls):
            yield Case(kind, Way.PUSH, bug.stage, bug.side, middle + offset + 1)


def _index(bug: Bug, every: Sequence[Call], counted: Sequence[Call]) -> int:
    """Where in the counted calls the landmark stands, or would stand if it were counted."""
    for call in every:
        if (call.name, call.where) == bug.landmark:
            return sum(other.number < call.number for other in counted)
    raise ValueError(f"no {' of '.join(bug.landmark)} is made any more: {bug.name} needs another landmark")
