# SPDX-License-Identifier: Apache-2.0
"""Sample conversations: reproducible, valid JSON lines, of a realistic size."""

from __future__ import annotations

import json

from p2p_handoff.testing.samples import conversation_lines


def test_the_same_seed_gives_the_same_conversation() -> None:
    assert conversation_lines(50, seed=3) == conversation_lines(50, seed=3)
    assert conversation_lines(50, seed=3) != conversation_lines(50, seed=4)


def test_every_line_is_one_json_object_that_names_its_parent() -> None:
    entries = [json.loads(line) for line in conversation_lines(100)]
    assert [entry["parent"] for entry in entries[1:]] == [entry["id"] for entry in entries[:-1]]
    assert all(line.endswith(b"\n") for line in conversation_lines(100))


def test_three_hundred_lines_are_about_a_hundred_kilobytes() -> None:
    assert 80_000 < len(b"".join(conversation_lines(300))) < 130_000
