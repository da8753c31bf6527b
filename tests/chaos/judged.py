# SPDX-License-Identifier: Apache-2.0
"""What the independent checker judges, and what it finds. Imports nothing of the product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from tests.chaos.evidence import Home, Session
from tests.chaos.statements import Chain


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that is broken."""

    promise: str
    """I1 … I7 (docs/reliability.md §1), or ``store``, ``chain``, ``whole``."""
    text: str

    @override
    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged."""

    homes: tuple[Home, ...]
    chains: dict[tuple[str, str], Chain]
    """(device, session) → its chain, where that verifies."""
    earlier: dict[str, Any] | None = None
    """What ``remember`` gave before the fault."""
    work: dict[str, Any] | None = None
    """What was written into the session (tests/chaos/work.py)."""
    restored: frozenset[str] = frozenset()
    """Devices whose home was put back from an older copy: they alone may have lost a session."""

    def home(self, device: str) -> Home | None:
        """The home of a device, if it is among those judged."""
        return next((home for home in self.homes if home.device == device), None)

    def sessions(self) -> dict[str, list[tuple[Home, Session]]]:
        """Who has which session."""
        found: dict[str, list[tuple[Home, Session]]] = defaultdict(list)
        for home in self.homes:
            for session in home.sessions:
                found[session.id].append((home, session))
        return found


def is_lost(home: Home, session: Session) -> bool:
    """Whether a session is lost here (docs/specs/ownership.md §3, rule 10): the chain says that this device became its
    primary, and this home knows nothing of that acceptance."""
    return session.role == "secondary" and session.owner == home.device


def named(home: Home) -> str:
    """A home in a sentence."""
    return home.device[:6]


Check = Callable[[Case], Iterator[Violation]]
