# SPDX-License-Identifier: Apache-2.0
"""Is there room for what was offered? Asked before anything is copied. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. A full disk must show before the source is frozen. Later rounds are checked
by the adapters, which know what is really missing; for an update of something that lives here only they do.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from p2p_handoff.agent.arrivals import Arrival
from p2p_handoff.errors import NoSpaceError, StorageError
from p2p_handoff.limits import SPACE_MARGIN

READY_MARGIN: Final = SPACE_MARGIN // 4
"""Bytes that must be free before this device says that it is ready: what others wrote meanwhile may eat the rest."""


def check_space(arrivals: Iterable[Arrival]) -> None:
    """Compare what new parts need with what is free, for each file system; what was staged before counts as there.

    Blocks.

    Raises:
        NoSpaceError: Says how much is missing where.
        StorageError: A file system cannot be asked.
    """
    needed: defaultdict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for arrival in arrivals:
        for place, size in _needs(arrival):
            device = _device(place)
            places.setdefault(device, place)
            needed[device] += size
    for device, place in places.items():
        missing = needed[device] + SPACE_MARGIN - _free(place)
        if missing > 0:
            raise NoSpaceError(f"{missing:,} more bytes must be free on the disk of {str(place)!r}")


def check_margin(arrivals: Iterable[Arrival]) -> None:
    """What there must be left once all is staged, so that the decision and the placing do not meet a full disk.

    Blocks.

    Raises:
        NoSpaceError: Says how much is missing where.
        StorageError: A file system cannot be asked.
    """
    for place in dict.fromkeys(place for arrival in arrivals for place in (arrival.path.parent, arrival.state)):
        missing = READY_MARGIN - _free(place)
        if missing > 0:
            raise NoSpaceError(f"{missing:,} more bytes must be free on the disk of {str(place)!r}")


def _needs(arrival: Arrival) -> Iterable[tuple[Path, int]]:
    """Where a part takes how much: its place, and the data directory, which keeps a log or a list beside it."""
    fresh = not os.path.lexists(arrival.path)
    staged = _held(arrival.staging.directory)
    yield arrival.path.parent, max(0, arrival.part.total_bytes - staged) if fresh else 0
    yield arrival.state, 0


def _device(place: Path) -> int:
    try:
        return place.stat().st_dev
    except OSError as error:
        raise StorageError(f"{str(place)!r} cannot be used: {error.strerror}") from error


def _free(place: Path) -> int:
    """Bytes that this user may still write on the file system of a directory."""
    try:
        status = os.statvfs(place)
    except OSError as error:
        raise StorageError(f"{str(place)!r} cannot be used: {error.strerror}") from error
    return status.f_bavail * status.f_frsize


def _held(directory: Path) -> int:
    """Bytes of the files below a staging directory."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - os.walk's own texts
        for parent, _, names in os.walk(directory)
        for name in names
    )
