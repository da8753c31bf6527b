# SPDX-License-Identifier: Apache-2.0
"""Something that may happen to a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """Why something happens."""

    PROGRESS = "progress"
    """By itself: work ends, time passes, a person who is asked says yes."""
    WISH = "wish"
    """Somebody wants something."""
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Input:
    """What happens to a device."""

    label: str
    act: Callable[..., None]
    args: tuple[Any, ...] = ()
    kind: Kind = Kind.PROGRESS
    up: int | None = None
    """The device that must be connected."""
    down: int | None = None
    """The device that must not be."""
    begins: bool = False
    """It uses the next txn: the first argument."""
    disk_full: bool = False
