# SPDX-License-Identifier: Apache-2.0
"""The way between two simulated devices: delay, order, cuts, partitions. Layer: testing, public.

A lane is one direction of one ordered, reliable channel, as SCTP and TCP are: what is lost below it arrives later.
Different lanes overtake each other. A partition holds everything back until it heals; a cut ends the connections,
and what was on its way is lost on either side. Specification: docs/testing.md §3.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from p2p_handoff.testing.loop import Process, SimulatedLoop


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a link is like; all times in seconds."""

    delay: tuple[float, float] = (0.001, 0.02)
    """Shortest and longest time of one message."""
    loss: float = 0.0
    """Share of messages that are lost below and sent again …"""
    again_after: float = 0.3
    """… after this time, each time."""
    silent_cuts: float = 0.5
    """Share of cuts of which one side hears nothing: it must notice by itself."""

    def travel(self, source: random.Random) -> float:
        """How long the next message takes."""
        seconds = source.uniform(*self.delay)
        while self.loss and source.random() < self.loss:
            seconds += self.again_after
        return seconds


class Lane:
    """One direction of one channel. Made by ``Link.lane``.

    Args:
        link: What it runs over.
        receiver: In whose process things arrive.
    """

    def __init__(self, link: Link, receiver: Process) -> None:
        self._link = link
        self._receiver = receiver
        self._waiting: deque[Callable[[], None]] = deque()
        self._owed = 0
        """Arrivals that a partition held back."""
        self._last = 0.0
        self._is_cut = False

    def send(self, arrive: Callable[[], None]) -> None:
        """Call ``arrive`` in the receiver's process once this has crossed the link, unless it is lost."""
        if self._is_cut:
            return
        self._waiting.append(arrive)
        self._link.loop.call_at(self._next(), self._due, context=self._receiver.context.copy())

    def heal(self) -> None:
        """Let go of what a partition held back."""
        owed, self._owed = self._owed, 0
        for _ in range(owed):
            self._link.loop.call_at(self._next(), self._due, context=self._receiver.context.copy())

    def cut(self) -> None:
        """Lose what is on its way, and whatever is sent from now on."""
        self._is_cut = True
        self._waiting.clear()

    def _next(self) -> float:
        self._last = max(self._last, self._link.loop.time() + self._link.travel())
        return self._last

    def _due(self) -> None:
        if not self._waiting:
            return
        if self._link.is_parted:
            self._owed += 1
        else:
            self._waiting.popleft()()


class Ends:
    """A connection as the link sees it: two ends that can be told that it is over.

    Args:
        lost: Tells one end, by the name of its device; called in that end's process.
        processes: By the same names.
    """

    def __init__(self, lost: dict[str, Callable[[str], None]], processes: dict[str, Process]) -> None:
        self.lost = lost
        self.processes = processes
        self.lanes: list[Lane] = []


class Link:
    """Everything between two devices.

    Args:
        loop: The simulation's loop.
        source: Seeded randomness.
        conditions: What the link is like; may be replaced at any time.
    """

    def __init__(self, loop: SimulatedLoop, source: random.Random, conditions: Conditions) -> None:
        self.loop = loop
        self.conditions = conditions
        self.is_parted = False
        self.messages = 0
        """Messages of data channels sent so far, in both directions."""
        self._source = source
        self._lanes: WeakValueDictionary[int, Lane] = WeakValueDictionary()
        self._numbers = itertools.count()
        self._connections: list[Ends] = []
        self._cut_at: int | None = None

    def lane(self, receiver: Process) -> Lane:
        """A new lane to a process."""
        lane = Lane(self, receiver)
        self._lanes[next(self._numbers)] = lane
        return lane

    def travel(self) -> float:
        """How long the next message takes, in seconds."""
        return self.conditions.travel(self._source)

    def connected(self, ends: Ends) -> None:
        """A connection runs over this link from now on."""
        self._connections.append(ends)

    def over(self, ends: Ends) -> bool:
        """A connection is over; False when it was already."""
        if ends not in self._connections:
            return False
        self._connections.remove(ends)
        return True

    def part(self) -> None:
        """Let nothing through until ``heal``."""
        self.is_parted = True

    def heal(self) -> None:
        """Let everything through again; what was held back arrives in order."""
        self.is_parted = False
        for _, lane in sorted(self._lanes.items()):
            lane.heal()

    def cut_at_message(self, number: int) -> None:
        """Cut when the ``number``-th data channel message from now on is sent, 1 for the next one; it is lost."""
        self._cut_at = self.messages + number

    def forget_cut(self) -> None:
        """Take ``cut_at_message`` back."""
        self._cut_at = None

    def sent(self) -> None:
        """A data channel message was handed to the link."""
        self.messages += 1
        if self.messages == self._cut_at:
            self._cut_at = None
            self.cut()

    def cut(self) -> None:
        """End all connections over this link; what was on its way is lost."""
        for ends in tuple(self._connections):
            self.over(ends)
            for lane in ends.lanes:
                lane.cut()
            unheard = self._unheard(ends)
            for name, lost in ends.lost.items():
                if name != unheard:
                    context = ends.processes[name].context.copy()
                    self.loop.call_later(self.travel(), lost, "the link was cut", context=context)

    def _unheard(self, ends: Ends) -> str | None:
        """The end that hears nothing of a cut, if it is one of those."""
        if self._source.random() >= self.conditions.silent_cuts:
            return None
        return self._source.choice(sorted(ends.lost))
