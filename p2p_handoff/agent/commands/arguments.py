# SPDX-License-Identifier: Apache-2.0
"""Arguments of commands, each checked as it is read: whatever a client sends is a UsageError at most. Layer: agent.

Specification: docs/specs/control.md §2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent.catalog import real_place
from p2p_handoff.errors import UsageError
from p2p_handoff.session.guard import EVERYTHING, Letting
from p2p_handoff.session.manifest import PartType

_TYPES: Final = frozenset(kind.value for kind in PartType)


def text(args: Mapping[str, Any], key: str) -> str:
    """A text that must be given and must not be empty."""
    value = args.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f"the argument {key!r} is missing")
    return value


def optional_text(args: Mapping[str, Any], key: str) -> str | None:
    """A text; None where it is not given or empty."""
    value = args.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"the argument {key!r} must be a text")
    return value or None


def wish(args: Mapping[str, Any]) -> tuple[str | None, Path | None]:
    """What was typed for SESSION, and the directory it was typed in."""
    return optional_text(args, "session"), directory(args, "here")


def directory(args: Mapping[str, Any], key: str) -> Path | None:
    """A path on this device; None where none is given."""
    value = optional_text(args, key)
    if value is None:
        return None
    place = real_place(value)
    if place is None:
        raise UsageError(f"the argument {key!r} is no path on this device")
    return place


def texts(args: Mapping[str, Any], key: str) -> list[Path | str]:
    """A list of texts, at least one."""
    value = args.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise UsageError(f"the argument {key!r} must be a list of texts")
    return list(value)


def letting(args: Mapping[str, Any]) -> Letting:
    """``secrets``: which of them may go to somebody else's device, true for all."""
    value = args.get("secrets") or []
    if value is True:
        return EVERYTHING
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError("the argument 'secrets' must be true or a list of paths")
    return Letting(paths=frozenset(os.fsencode(item).strip(b"/") for item in value))


def types(args: Mapping[str, Any]) -> list[str]:
    """``only``: types of parts; none given means all."""
    value = args.get("only") or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError("the argument 'only' must be a list of texts")
    wrong = [item for item in value if item not in _TYPES]
    if wrong:
        raise UsageError(f"{wrong[0]!r} is no part type", advice=f"types are {', '.join(sorted(_TYPES))}")
    return list(value)


def number(args: Mapping[str, Any], key: str, default: float) -> float:
    """A number, not negative."""
    value = args.get(key)
    if value is None:
        return default
    # Compared with the largest float: an integer beyond it is below infinity, and no float.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
        raise UsageError(f"the argument {key!r} must be a number, not negative")
    return float(value)
