# SPDX-License-Identifier: Apache-2.0
"""Kept states as the control API and the command line tell of them. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

from typing import Any, Final

from p2p_handoff.agent.requests import part_as_json
from p2p_handoff.store.generations import Cause, Generation

_BEFORE: Final = {
    Cause.HANDOFF: "before a handoff arrived",
    Cause.UNDO: "before an undo",
    Cause.MERGE: "before a fork was merged",
}


def generation_as_json(item: Generation) -> dict[str, Any]:
    """The stable keys of a kept state."""
    kept = item.kept
    return {
        "generation": item.number,
        "cause": kept.cause.value,
        "kept_at": kept.kept_at,
        "epoch": kept.epoch,
        "parts": [part_as_json(part) for part in kept.manifest.parts],
        "text": _BEFORE[kept.cause] if kept.manifest.parts else "nothing was here before",
    }
