# SPDX-License-Identifier: Apache-2.0
"""What a person does in the middle of a handoff, and how one goes on behind it, while agents tell of their messages."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos.cases import Side
from tests.chaos.command import Handoff
from tests.chaos.device import Device
from tests.chaos.faults import Fault
from tests.chaos.messages import mark
from tests.chaos.programmes import Deed
from tests.chaos.work import Work

_PATIENCE: Final = 3.0
"""Seconds in which an agent must have said what is waited for."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where deeds are done.

    Args:
        fault: Knows what the agents told.
        work: Notes what is written.
        source: Where it is written.
        handoff: Returns what was asked for, as soon as it was.
    """

    fault: Fault
    work: Work
    source: Device
    handoff: Callable[[], Handoff]

    def do(self, deed: Deed) -> None:
        """Do it, while the agent that told stands still."""
        match deed:
            case Deed.GIVE_UP:
                self._give_up("cancel")
            case Deed.GIVE_UP_LATE:
                self._give_up("query")
            case Deed.WRITE:
                self.work.write(self.source.files, "notes.md", b"# Notes\nchanged while they were copied\n")
                self.work.write(self.source.files, "src/data.bin", random.Random(4).randbytes(150_000))

    def _give_up(self, message: str) -> None:
        self.handoff().give_up()
        self.fault.wait_until_told(Side.SOURCE, mark("sent", message), _PATIENCE)


class Leaving:
    """A handoff, a rest in which both devices see that the other is there, and the orderly end of the source's agent.

    Args:
        handoff: Under way.
        source: Whose agent ends.
        fault: Knows what the agents told.
    """

    def __init__(self, handoff: Handoff, source: Device, fault: Fault) -> None:
        self._handoff, self._source, self._fault = handoff, source, fault
        self.improper = handoff.improper
        self._thread = threading.Thread(target=self._leave, daemon=True)
        self._thread.start()

    @property
    def outcome(self) -> str:
        """That of the handoff."""
        return self._handoff.outcome

    def is_alive(self) -> bool:
        """Whether the agent has not been asked to end yet."""
        return self._thread.is_alive()

    def join(self, seconds: float = 60.0) -> None:
        """Wait until it was, or so long."""
        self._thread.join(seconds)

    def _leave(self) -> None:
        self._handoff.join()
        for side in Side:
            self._fault.wait_until_told(side, mark("sent", "pong"), _PATIENCE)
        self._source.call("stop-agent")
        self._fault.wait_until_told(Side.SOURCE, mark("sent", "goodbye"), _PATIENCE)
