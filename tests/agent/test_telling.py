# SPDX-License-Identifier: Apache-2.0
"""Kept states in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.agent.telling import generation_as_json
from p2p_handoff.store.generations import Cause
from tests.agent.test_keeping import P1, generation


def test_a_kept_state_tells_what_it_has() -> None:
    told = generation_as_json(generation(3, P1))
    assert (told["generation"], told["cause"], told["epoch"]) == (3, "handoff", 1)
    assert [part["id"] for part in told["parts"]] == ["p1"]


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_has_words(cause: Cause) -> None:
    item = generation(1, P1)
    assert generation_as_json(replace(item, kept=replace(item.kept, cause=cause)))["text"].startswith("before a")


def test_a_first_arrival_says_that_nothing_was_here() -> None:
    assert generation_as_json(generation(1))["text"] == "nothing was here before"
