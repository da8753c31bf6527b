# SPDX-License-Identifier: Apache-2.0
"""What an attack is, and what was seen when it was played."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p_handoff.limits import MIB

MAX_GROWTH: Final = 64 * MIB
"""Bytes by which the memory of an attacked agent may grow."""
MAX_STALL: Final = 0.05
"""Seconds of work that may pass in one step of an attacked agent's event loop."""


class BrokenError(Exception):
    """A defence gave way; says what was seen instead of what was expected."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed.

    Args:
        text: In words, with the figures that the attack is about.
        growth: Bytes by which the agent's memory grew at most; None where it does not apply.
        stall: Seconds of work in the longest step of the agent's event loop; None where it does not apply.
    """

    text: str
    growth: int | None = None
    stall: float | None = None


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the table.

    Args:
        name: For ``--only``; unique.
        attacker: Who does it.
        deed: What the attacker does.
        expected: What must be seen, in words.
        play: Does it, in an empty directory; raises BrokenError, or anything else, where the defence does not hold.
        seconds: After so many it is broken, however long it would go on.
    """

    name: str
    attacker: str
    deed: str
    expected: str
    play: Callable[[Path], Awaitable[Seen]]
    seconds: float = 120.0


def hold(condition: object, otherwise: str) -> None:
    """Raises BrokenError with the words given, unless something is true."""
    if not condition:
        raise BrokenError(otherwise)
