# SPDX-License-Identifier: Apache-2.0
"""The prompt for a link code: words are completed, slips are named, and asked again."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from p2p_handoff.cli import code_prompt
from p2p_handoff.cli.code_prompt import ask_code, completions


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("7-velv", ["velvet"]),
        ("7 velvet saus", ["sausage"]),
        ("7, VELVET.SAUS", ["sausage"]),
        ("7-ab", ["abandon", "ability", "able", "about", "above", "absent", "absorb", "abstract", "absurd", "abuse"]),
        ("7-xyz", []),
        ("7", []),
        ("", []),
        ("7-", []),
    ],
)
def test_the_piece_that_is_typed_is_completed(typed: str, found: list[str]) -> None:
    assert completions(typed) == found


def test_tab_offers_one_word_after_the_other() -> None:
    complete = code_prompt._completer(lambda: "7-velvet-sa")
    offered = [complete("sa", state) for state in range(4)]
    assert offered == ["sad", "saddle", "sadness", "safe"]
    assert complete("sa", 1000) is None


def test_a_slip_is_named_and_asked_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers: Iterator[str] = iter(["7-velvet-sosage", "velvet sausage", " 7 VELV saus "])
    monkeypatch.setattr(click, "prompt", lambda *_args, **_more: next(answers))
    assert ask_code() == "7-velvet-sausage"
    said = capsys.readouterr()
    assert "'sosage' is not a word of link codes" in said.err
    assert said.out == ""
