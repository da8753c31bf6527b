# SPDX-License-Identifier: Apache-2.0
"""The scopes that are explored, each to its end, so that I7 is judged for every world of it."""

from __future__ import annotations

from typing import Final

from tests.explore.scope import Scope

SMALL: Final = (
    Scope("push", nonces=2),
    Scope("push in order, edited, two rounds", nonces=3, rounds=2, edits=1, fifo=True),
)
"""For the ordinary tests: seconds."""

CI: Final = (
    Scope("push, cancelled, rejected, bad disks", cancels=True, rejects=True, disk=True),
    Scope("push, edited", edits=1),
    *SMALL,
)

DEFAULT: Final = (
    Scope("push, a third device meddles", devices=3, meddler=True, nonces=1),
    Scope("push, edited, forked", edits=1, forks=True, nonces=1),
    *CI,
)

DEEP: Final[tuple[Scope, ...]] = ()
