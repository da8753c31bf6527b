# SPDX-License-Identifier: Apache-2.0
"""How far a handoff is, in words."""

from __future__ import annotations

from typing import Any

import pytest

from p2p_handoff.cli.headway import in_words, pace, phase

MOVING: dict[str, Any] = {
    "phase": "copying",
    "round": 1,
    "bytes": 4_000_000,
    "remaining": 6_000_000,
    "reused_bytes": 0,
}


def test_what_moves_is_told_with_rate_and_time_left() -> None:
    fields = {**MOVING, "rate": 80_000, "left": 75.0}
    assert in_words(fields) == "copying, 4.0 MB of 10.0 MB, 80.0 KB/s, 1:15 left"


def test_what_does_not_move_yet_has_neither() -> None:
    fields = {"phase": "offered", "round": 0, "bytes": 0, "remaining": 0, "reused_bytes": 0, "rate": 0, "left": None}
    assert in_words(fields) == "being offered"


def test_what_has_moved_as_a_whole_is_done() -> None:
    assert pace({**MOVING, "remaining": 0, "rate": 80_000, "left": 0.0}) == ("80.0 KB/s", "done")


@pytest.mark.parametrize(("state", "words"), [("reviewing", "waiting for a yes"), ("a-later-one", "a-later-one")])
def test_every_phase_has_words(state: str, words: str) -> None:
    assert phase({"phase": state, "round": 1}) == words


def test_a_later_round_and_what_need_not_move_are_told() -> None:
    fields = {**MOVING, "round": 3, "reused_bytes": 2_000_000, "rate": 0, "left": None}
    assert in_words(fields) == "copying, round 3, 4.0 MB of 10.0 MB, 2.0 MB there already"
