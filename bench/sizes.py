# SPDX-License-Identifier: Apache-2.0
"""How much is moved: the real thing, and a small form that only shows that measuring works. Layer: bench."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from p2p_handoff.limits import KIB, MIB

GB: Final = 1000**3
GIB: Final = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes in bytes, unless said otherwise."""

    changes: tuple[float, ...]
    """Shares of a data set that are edited before it is moved again."""
    starts: int
    """Times that a command is started in each round: such short runs differ much."""
    random: Mapping[str, int]
    """The random file, by engine."""
    tree_files: int
    tree_bytes: int
    conversations: tuple[int, ...]
    memory: tuple[int, int]
    """The smaller and the larger file whose peak memory is compared."""
    session: int
    """The session under a writer, and the one whose store is weighed."""
    pauses: int
    """Handoffs under a writer."""
    hand_back: int
    growth_bytes: tuple[int, ...]
    growth_files: tuple[int, ...]
    shaped: int
    """What crosses a link with delay or loss."""
    limit_seconds: int
    """How long the limit of the network is measured."""


FULL: Final = Sizes(
    changes=(0.0, 0.001, 0.01, 0.1),
    starts=5,
    random={"wrtc": GIB, "aiortc": GIB},
    tree_files=40_000,
    tree_bytes=800 * 1000**2,
    conversations=(100 * KIB, 50 * 1000**2),
    memory=(GIB, 10 * GIB),
    session=GB,
    pauses=20,
    hand_back=100 * 1000**2,
    growth_bytes=(10**6, 10**7, 10**8, 10**9),
    growth_files=(40, 400, 4_000, 40_000),
    shaped=64 * MIB,
    limit_seconds=5,
)

QUICK: Final = Sizes(
    changes=(0.0, 0.01),
    starts=2,
    random={"wrtc": 8 * MIB, "aiortc": 2 * MIB},
    tree_files=300,
    tree_bytes=3 * 1000**2,
    conversations=(100 * KIB,),
    memory=(4 * MIB, 16 * MIB),
    session=4 * 1000**2,
    pauses=2,
    hand_back=4 * 1000**2,
    growth_bytes=(10**4, 10**6),
    growth_files=(4, 40),
    shaped=2 * MIB,
    limit_seconds=1,
)


def human(size: int) -> str:
    """A size as people say it: ``1 GiB``, ``50 MB``."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    for unit, name in ((GB, "GB"), (1000**2, "MB"), (1000, "KB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} B"
