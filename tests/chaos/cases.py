# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in one run, as a table of kinds, and a run's name: ``kill/push/update/target/137@aiortc``.

The name says everything that a run depends on, so that ``./scripts/chaos --only NAME`` repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from typing_extensions import override

from tests.chaos.system_calls import Act

DISK: Final = frozenset(Act) - {Act.SEND}
SENDS: Final = frozenset((Act.SEND,))
WRITES: Final = frozenset((Act.WRITE, Act.SYNC, Act.RESIZE))


class Stage(Enum):
    """Where a run begins (tests/chaos/stages.py)."""

    FIRST = "first"
    UPDATE = "update"
    HANDED = "handed"
    UNDECIDED = "undecided"
    DECIDED = "decided"
    FORKED = "forked"
    PARTED = "parted"


class Way(Enum):
    """What happens in a run (tests/chaos/programmes.py)."""

    PUSH = "push"
    TAKE = "take"
    UNDO = "undo"
    FORCE = "force"
    MEET = "meet"
    GIVE_UP = "give-up"
    TOO_LATE = "too-late"
    DECLINE = "decline"
    CHANGE = "change"
    LARGE = "large"
    LEAVE = "leave"


class Side(Enum):
    """Whom the fault hits."""

    SOURCE = "source"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    name: str
    acts: frozenset[Act]
    """Which calls are the points at which it happens."""
    words: str
    message: str = ""
    """Of a cut before or after a protocol message: which."""

    @property
    def family(self) -> str:
        """What it is listed under."""
        return self.name.removesuffix(f"-{self.message}") if self.message else self.name


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("none", frozenset(Act), "nothing happens: counts the points"),
        Kind("kill", DISK, "SIGKILL before a write, sync, rename or any other change of the disk"),
        Kind("send", SENDS, "SIGKILL before a datagram is sent"),
        Kind("power", DISK, "as kill, and what was written and not synced is gone"),
        Kind("both", DISK, "SIGKILL of both devices in one moment"),
        Kind("again", DISK, "SIGKILL in the middle, and SIGKILL of its recovery"),
        Kind("stop", DISK, "SIGSTOP for longer than a dead peer is waited for"),
        Kind("cut", SENDS, "no datagram either way from this one on, then healed"),
        Kind("full", DISK, "ENOSPC for everything that needs space from this call on, then healed"),
        Kind("eio", WRITES, "EIO once, from a write or a sync"),
        Kind("tmpfs", DISK, "a small file system that really fills up, then is freed"),
    )
}


BEFORE: Final = "before"
AFTER: Final = "after"


def kind_named(name: str) -> Kind:
    """A kind by its name; ``before-grant`` and ``after-grant`` are kinds for every message.

    Raises:
        ValueError: There is none.
    """
    when, _, message = name.partition("-")
    if message and when in (BEFORE, AFTER):
        return Kind(
            name, SENDS | {Act.NAME}, f"no datagram either way from {when} this message on, then healed", message
        )
    if name not in KINDS:
        raise ValueError(f"there is no kind {name!r}; there are {', '.join(KINDS)}")
    return KINDS[name]


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    kind: Kind
    way: Way
    stage: Stage
    side: Side
    point: int
    """The fault happens at the call, or the message, of this number; 1 is the first after the handoff began."""
    engine: str = "auto"

    @override
    def __str__(self) -> str:
        name = f"{self.kind.name}/{self.way.value}/{self.stage.value}/{self.side.value}/{self.point}"
        return name if self.engine == "auto" else f"{name}@{self.engine}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """A case by its name.

        Raises:
            ValueError: There is no such case.
        """
        name, _, engine = text.partition("@")
        kind, way, stage, side, point = name.split("/")
        return cls(kind_named(kind), Way(way), Stage(stage), Side(side), int(point), engine or "auto")
