# SPDX-License-Identifier: Apache-2.0
"""What two devices do in a run while a fault happens: a table of ways, each with the stages it begins in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from tests.chaos.cases import Side, Stage, Way
from tests.chaos.command import RECOVERY_PATIENCE, Handoff
from tests.chaos.device import Device, Fields
from tests.chaos.work import TITLE

_LOOK_EVERY: Final = 0.1
"""Seconds between two looks of somebody who waits for devices to come together by themselves."""

OnEvent = Callable[[str, Fields], None]


class Running(Protocol):
    """Something that was begun and comes to its end."""

    improper: list[str]

    @property
    def outcome(self) -> str:
        """What it said in the end; empty while it has not."""

    def is_alive(self) -> bool:
        """Whether it still runs."""

    def join(self, seconds: float = ...) -> None:
        """Wait for its end, or so long."""


class Meeting:
    """Nobody asks for anything: the devices start, meet, and bring in order what was left open.

    Args:
        is_settled: Looks whether that is done.
    """

    def __init__(self, is_settled: Callable[[], bool]) -> None:
        self.outcome = ""
        self.improper: list[str] = []
        self._is_settled = is_settled
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether something is open still."""
        return self._thread.is_alive()

    def join(self, seconds: float = RECOVERY_PATIENCE) -> None:
        """Wait until all is settled, or so long."""
        self._thread.join(seconds)

    def give_up(self) -> None:
        """Look no longer."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        deadline = time.monotonic() + RECOVERY_PATIENCE
        while not self._over.wait(_LOOK_EVERY) and time.monotonic() < deadline:
            if self._is_settled():
                self.outcome = "met"
                return


class Deed(Enum):
    """What a person does in the middle of a handoff."""

    GIVE_UP = "give up, and see that a cancel goes out"
    GIVE_UP_LATE = "give up, and see that a query goes out"
    WRITE = "write into the files that are being copied"


@dataclass(frozen=True, slots=True)
class Programme:
    """One way."""

    stages: tuple[Stage, ...]
    words: str
    sides: tuple[Side, ...] = (Side.SOURCE, Side.TARGET)
    """Whose calls are points."""
    command: str = ""
    """Empty: the devices start behind the fault, and do the rest by themselves."""
    asked: Side = Side.SOURCE
    """Who gets the command."""
    args: Mapping[str, Any] | None = None
    alone: bool = False
    """Whether the other device is off until the fault is over."""
    hands_over: bool = False
    """Whether it is a handoff."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the target until the fault is over."""
    adds: int = 0
    """Bytes of a file that the person writes before."""
    meanwhile: tuple[tuple[Side, str, Deed], ...] = ()
    """When an agent of this side tells of this message for the first time, this is done."""
    leaves: bool = False
    """Whether the source's agent is ended in the orderly way behind it."""

    def begin(self, source: Device, target: Device, on_event: OnEvent) -> Handoff:
        """Ask for it."""
        asked, other = (source, target) if self.asked is Side.SOURCE else (target, source)
        words = {key: other.name if value is _OTHER else value for key, value in (self.args or {}).items()}
        return Handoff(asked, self.command, words, on_event)


_OTHER: Final = object()
_FORCE: Final = {"session": TITLE, "force": True, "confirmed": True}


def _push(words: str, **more: Any) -> Programme:
    args = {"peer": _OTHER, "session": TITLE}
    return Programme((Stage.UPDATE,), words, command="to", args=args, hands_over=True, **more)


PROGRAMMES: Final[Mapping[Way, Programme]] = {
    Way.PUSH: Programme(
        (Stage.FIRST, Stage.UPDATE),
        "the source hands the session over",
        command="to",
        args={"peer": _OTHER, "session": TITLE},
        hands_over=True,
    ),
    Way.TAKE: Programme(
        (Stage.FIRST, Stage.UPDATE),
        "the target fetches it",
        command="take",
        asked=Side.TARGET,
        args={"session": TITLE, "from": _OTHER},
        hands_over=True,
    ),
    Way.UNDO: Programme(
        (Stage.HANDED,),
        "the primary brings back what was there before the last handoff",
        sides=(Side.SOURCE,),
        command="undo",
        args={"session": TITLE},
    ),
    Way.FORCE: Programme(
        (Stage.UNDECIDED, Stage.DECIDED),
        "a frozen source goes on in a fork while its target is off",
        sides=(Side.SOURCE,),
        command="recover",
        args=_FORCE,
        alone=True,
    ),
    Way.MEET: Programme(
        (Stage.UNDECIDED, Stage.DECIDED, Stage.FORKED, Stage.PARTED),
        "both devices start, and what was left open is resolved; a fork and its original come together",
    ),
    Way.GIVE_UP: _push("it is given up while it copies", meanwhile=((Side.TARGET, "message:sent:want", Deed.GIVE_UP),)),
    Way.TOO_LATE: _push(
        "it is given up behind the grant", meanwhile=((Side.TARGET, "message:came:grant", Deed.GIVE_UP_LATE),)
    ),
    Way.DECLINE: _push("the target takes nothing", settings={"handoff": False}),
    Way.CHANGE: _push(
        "files change while they are copied", meanwhile=((Side.SOURCE, "message:came:want", Deed.WRITE),)
    ),
    Way.LARGE: _push("a file is larger than the credit", adds=3 << 20),
    Way.LEAVE: _push("both rest a moment, and the source's agent is ended", leaves=True),
}
FOR_MESSAGES: Final = (Way.GIVE_UP, Way.TOO_LATE, Way.DECLINE, Way.CHANGE, Way.LARGE, Way.LEAVE)
"""Ways that exist for a message each (tests/chaos/messages.py); no calls are counted in them."""
