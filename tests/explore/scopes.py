# SPDX-License-Identifier: Apache-2.0
"""The scopes that are explored, the largest first; each to its end, so that I7 is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.explore.scope import Scope

SMALL: Final = (
    Scope("push", nonces=2),
    Scope("push, in order, edited, two rounds", nonces=3, rounds=2, edits=1, fifo=True),
)
"""For the ordinary tests: seconds."""

BOTH: Final = Scope("both homes restored", homes=True, restores="A B", nonces=2, crashes=0, cuts=0, fifo=True)
RESTORED: Final = (
    Scope("A's home restored", homes=True, restores="A", nonces=2, crashes=0, cuts=1, fifo=True),
    Scope("B's home restored", homes=True, restores="B", nonces=2, crashes=0, cuts=1, fifo=True),
)
UNDONE: Final = Scope("undone", undoes=1, edits=1, nonces=1, crashes=1, cuts=0)
REUNITED: Final = Scope(
    "forked, reunited", forks=True, reunites=True, merges=1, edits=1, nonces=1, crashes=0, cuts=1, fifo=True
)

CI: Final = (
    Scope("push, cancelled, rejected, bad disks", cancels=True, rejects=True, disk=True),
    Scope("push, edited", edits=1),
    Scope("push and take at once, in order", txns=2, takes="BA", crashes=1, cuts=1, fifo=True),
    Scope("push, and a take by C, in order", devices=3, txns=2, takes="CA", nonces=1, crashes=1, cuts=0, fifo=True),
    *RESTORED,
    BOTH,
    UNDONE,
    REUNITED,
    *SMALL,
)

GONE: Final = Scope(
    "on to C, B gone", devices=3, txns=2, pushes="AB BC", learns="AC", gone="B", nonces=1, crashes=1, cuts=0
)

DEFAULT: Final = (
    Scope("two parts, some taken, edited", parts=2, partial=True, edits=1, nonces=1, crashes=1, cuts=0),
    CI[0],
    Scope("there and back", txns=2, pushes="AB BA", nonces=1, crashes=1, cuts=1),
    Scope("push, C meddles", devices=3, meddler=True, nonces=1),
    Scope("two targets", devices=3, txns=2, pushes="AB AC", nonces=1, crashes=1, cuts=0),
    Scope("on to C, news", devices=3, txns=2, pushes="AB BC", learns="AC AB BC", nonces=1, crashes=1, cuts=0),
    Scope("push and take at once", txns=2, takes="BA", nonces=1, crashes=0, cuts=1),
    Scope("push, and a take by C", devices=3, txns=2, takes="CA", nonces=1, crashes=0, cuts=1),
    Scope("there and back, in order, edited", txns=2, pushes="AB BA", edits=1, crashes=1, cuts=1, fifo=True),
    Scope(
        "on to C, forked, news",
        devices=3,
        txns=2,
        pushes="AB BC",
        learns="AC AB",
        forks=True,
        nonces=1,
        crashes=0,
        cuts=1,
    ),
    GONE,
    Scope("push, edited, forked", edits=1, forks=True, nonces=1),
    Scope("again, in order", txns=2, cancels=True, rejects=True, disk=True, crashes=1, cuts=0, fifo=True),
    Scope(
        "two targets, A's home restored",
        devices=3,
        txns=2,
        pushes="AB AC",
        homes=True,
        restores="A",
        nonces=1,
        crashes=0,
        cuts=0,
        fifo=True,
    ),
    Scope(
        "on to C, forked, reunited",
        devices=3,
        txns=2,
        pushes="AB BC",
        learns="AC",
        forks=True,
        reunites=True,
        merges=1,
        edits=1,
        nonces=1,
        crashes=0,
        cuts=0,
        fifo=True,
    ),
    replace(REUNITED, name="forked, reunited, two tries", merges=2, crashes=1),
    replace(REUNITED, name="forked, reunited, in any order", cuts=0, fifo=False),
    *(replace(scope, name=f"{scope.name}, crashes", crashes=1) for scope in RESTORED),
    *CI[1:],
)

DEEP: Final = (
    Scope("push and take at once, deep", txns=2, takes="BA", nonces=1, crashes=1, cuts=0),
    Scope("push, edited, cancelled, rejected, bad disks", cancels=True, rejects=True, disk=True, edits=1),
    Scope("there and back, edited, deep", txns=2, pushes="AB BA", edits=1, nonces=1, crashes=1),
    Scope("two targets, deep", devices=3, txns=2, pushes="AB AC", nonces=1, crashes=1, cuts=1),
    Scope("two targets, edited, deep", devices=3, txns=2, pushes="AB AC", edits=1, nonces=1, crashes=1, cuts=0),
    Scope("on to C, news, deep", devices=3, txns=2, pushes="AB BC", learns="AC AB BC", nonces=1, crashes=1, cuts=1),
    Scope(
        "on to C, B gone, deep", devices=3, txns=2, pushes="AB BC", learns="AC", gone="B", nonces=1, crashes=1, cuts=1
    ),
    Scope("two parts, some taken, edited, deep", parts=2, partial=True, edits=1, nonces=1, crashes=1, cuts=1),
)
"""Wider, and explored to their end as well."""
