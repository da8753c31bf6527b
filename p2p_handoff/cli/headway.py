# SPDX-License-Identifier: Apache-2.0
"""How far a handoff is, in words: for the progress line and for ``handoff status``. Layer: cli.

Specification: docs/cli.md §7 (progress).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from p2p_handoff.cli.output import size

_PHASES: Final = {
    "offered": "being offered",
    "new": "being offered",
    "reviewing": "waiting for a yes",
    "copying": "copying",
    "ready": "copying",
    "freezing": "freezing",
    "frozen": "last changes",
    "sealing": "last changes",
    "finishing": "finishing",
    "released": "putting in place",
    "accepted": "putting in place",
}


def phase(fields: Mapping[str, Any]) -> str:
    """What is going on, and in which round where it is not the first."""
    words = _PHASES.get(fields["phase"], str(fields["phase"]))
    return f"{words}, round {fields['round']}" if fields["round"] > 1 else words


def reused(fields: Mapping[str, Any]) -> str:
    """What need not move; empty where that is nothing, or is not known yet."""
    return f"{size(fields['reused_bytes'])} there already" if fields["reused_bytes"] else ""


def pace(fields: Mapping[str, Any]) -> tuple[str, str]:
    """The rate, and the time that the rest takes at it; both empty while nothing moves."""
    left = fields["left"]
    if not fields["rate"] or left is None:
        return "", ""
    seconds = round(left)
    return f"{size(fields['rate'])}/s", f"{seconds // 60}:{seconds % 60:02} left" if fields["remaining"] else "done"


def in_words(fields: Mapping[str, Any]) -> str:
    """One line: phase, round, how much of how much, what need not move, rate, time left."""
    done, missing = int(fields["bytes"]), int(fields["remaining"])
    moved = f"{size(done)} of {size(done + missing)}" if done or missing else ""
    return ", ".join(filter(None, (phase(fields), moved, reused(fields), *pace(fields))))
