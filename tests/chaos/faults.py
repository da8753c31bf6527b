# SPDX-License-Identifier: Apache-2.0
"""The rules that make a fault happen at a point, one per kind of case."""

from __future__ import annotations

import errno
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.chaos.cases import AFTER, BEFORE, Case, Side
from tests.chaos.messages import MARK, mark
from tests.chaos.system_calls import Act
from tests.chaos.warden import Call, CutPower, Drop, Fail, Kill, Pass, Pause, Rule, Verdict, Warden, let_all_pass

STOPPED_FOR: Final = 4.0
"""Seconds of SIGSTOP: the other device takes a silent one for dead after 3."""
_NEEDS_SPACE: Final = frozenset((Act.WRITE, Act.RESIZE))
_MAKES_NAMES: Final = ("open", "openat", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat")


@dataclass(slots=True)
class Fault:
    """A fault that is armed on the devices of a run.

    Args:
        case: What shall happen.
    """

    case: Case
    happened_at: str = ""
    """The call."""
    struck: threading.Event = field(default_factory=threading.Event)
    """Set when it has happened."""
    wardens: dict[Side, Warden] = field(default_factory=dict)
    """Those that it is armed on."""
    meanwhile: dict[tuple[Side, str], Callable[[], None]] = field(default_factory=dict)
    """(Side, mark) → what is done once when that agent tells of that message, while it stands still in it."""
    _told: defaultdict[tuple[Side, str], threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))
    _counts: Counter[str] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)
    _begun: threading.Event = field(default_factory=threading.Event)

    def arm(self, side: Side, warden: Warden) -> None:
        """Begin to count the calls of one device."""
        self.wardens[side] = warden
        mine, others = _RULES[self.case.kind.family](self)
        is_hit = side is self.case.side
        cuts_power = is_hit and self.case.kind.name == "power"
        rule = partial(self._heard, side, mine if is_hit else others)
        warden.arm(rule, self.case.kind.acts, follow_syncs=cuts_power)

    def wait_until_told(self, side: Side, words: str, seconds: float) -> bool:
        """Wait until an agent tells of a message, or so long; returns whether it did."""
        return self._told[side, words].wait(seconds)

    def _heard(self, side: Side, rule: Rule, call: Call) -> Verdict:
        if call.where.startswith(MARK):
            self._told[side, call.where].set()
            action = self.meanwhile.pop((side, call.where), None)
            if action is not None:
                action()
        return rule(call)

    def heal(self) -> None:
        """The fault is over; what it has done stays done."""
        self._over.set()

    def at_the_point(self, verdict: Verdict) -> Rule:
        """A rule that strikes once."""

        def rule(call: Call) -> Verdict:
            if call.number != self.case.point:
                return Pass()
            self._happens(call)
            return verdict

        return rule

    def kill_both(self, call: Call) -> Verdict:
        """The other device dies while this one's call waits; then this one dies."""
        if call.number != self.case.point:
            return Pass()
        self._happens(call)
        for side, warden in self.wardens.items():
            if side is not self.case.side:
                warden.process.kill()
        return Kill()

    def cut_from_the_point(self, call: Call) -> Verdict:
        """Datagrams of the device that is hit are lost from the point on."""
        if call.number == self.case.point:
            self._happens(call)
            self._begun.set()
        return self.lose_while_cut(call)

    def cut_at_the_message(self, way: str) -> Rule:
        """Datagrams are lost from the message of the case on, as often as its point says.

        Args:
            way: ``sent`` or ``came``.
        """
        wanted = mark(way, self.case.kind.message)

        def rule(call: Call) -> Verdict:
            if call.where == wanted:
                self._counts[wanted] += 1
                if self._counts[wanted] == self.case.point:
                    self._happens(call)
                    self._begun.set()
            return self.lose_while_cut(call)

        return rule

    def lose_while_cut(self, call: Call) -> Verdict:
        """Datagrams are lost while the link is cut."""
        if call.act is not Act.SEND or not self._begun.is_set() or self._over.is_set():
            return Pass()
        return Drop() if call.name == "sendto" else Fail(errno.EPERM)

    def full_from_the_point(self, call: Call) -> Verdict:
        """What needs space fails."""
        if call.number < self.case.point or self._over.is_set():
            return Pass()
        if call.act not in _NEEDS_SPACE and call.name not in _MAKES_NAMES:
            return Pass()
        self._happens(call)
        return Fail(errno.ENOSPC)

    def _happens(self, call: Call) -> None:
        self.happened_at = self.happened_at or str(call)
        self.struck.set()


_RULES: Final[dict[str, Callable[[Fault], tuple[Rule, Rule]]]] = {
    "none": lambda _: (let_all_pass, let_all_pass),
    "kill": lambda fault: (fault.at_the_point(Kill()), let_all_pass),
    "power": lambda fault: (fault.at_the_point(CutPower()), let_all_pass),
    "send": lambda fault: (fault.at_the_point(Kill()), let_all_pass),
    "again": lambda fault: (fault.at_the_point(Kill()), let_all_pass),
    "both": lambda fault: (fault.kill_both, let_all_pass),
    "stop": lambda fault: (fault.at_the_point(Pause(STOPPED_FOR)), let_all_pass),
    "cut": lambda fault: (fault.cut_from_the_point, fault.lose_while_cut),
    BEFORE: lambda fault: (fault.cut_at_the_message("sent"), fault.lose_while_cut),
    AFTER: lambda fault: (fault.lose_while_cut, fault.cut_at_the_message("came")),
    "full": lambda fault: (fault.full_from_the_point, let_all_pass),
    "eio": lambda fault: (fault.at_the_point(Fail(errno.EIO)), let_all_pass),
    "tmpfs": lambda _: (let_all_pass, let_all_pass),
}
"""Kind → the rule for the device that is hit, and the one for the other."""
