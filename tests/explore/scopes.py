# SPDX-License-Identifier: Apache-2.0
"""The scopes that are explored, the largest first. All but two of DEEP are explored to their end, and I7 judged."""

from __future__ import annotations

from typing import Final

from tests.explore.scope import Scope

SMALL: Final = (
    Scope("push", nonces=2),
    Scope("push, in order, edited, two rounds", nonces=3, rounds=2, edits=1, fifo=True),
)
"""For the ordinary tests: seconds."""

CI: Final = (
    Scope("push, cancelled, rejected, bad disks", cancels=True, rejects=True, disk=True),
    Scope("push, edited", edits=1),
    Scope("push and take at once, in order", txns=2, takes="BA", crashes=1, cuts=1, fifo=True),
    Scope("push, and a take by C, in order", devices=3, txns=2, takes="CA", nonces=1, crashes=1, cuts=0, fifo=True),
    *SMALL,
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
    Scope("on to C, B gone", devices=3, txns=2, pushes="AB BC", learns="AC", gone="B", nonces=1, crashes=1, cuts=0),
    Scope("push, edited, forked", edits=1, forks=True, nonces=1),
    Scope("again, in order", txns=2, cancels=True, rejects=True, disk=True, crashes=1, cuts=0, fifo=True),
    *CI[1:],
)

DEEP: Final = (
    Scope("push and take at once, deep", txns=2, takes="BA", nonces=1, crashes=1, cuts=1, most=4_000_000),
    Scope("two targets, edited, deep", devices=3, txns=2, pushes="AB AC", edits=1, nonces=1, crashes=1, most=4_000_000),
    Scope("there and back, edited, deep", txns=2, pushes="AB BA", edits=1, nonces=1, crashes=1, most=4_000_000),
)
"""Wider, breadth first up to a bound; where that ends a scope, I7 is not judged."""
