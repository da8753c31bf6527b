# SPDX-License-Identifier: Apache-2.0
"""What people see: sizes, tables, and text from other devices made harmless."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.cli.output import counted, print_json, say, shown, size, table


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (14_512, "14.5 KB"),
        (2_777_575, "2.8 MB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_sizes_have_three_digits_or_so(count: int, text: str) -> None:
    assert size(count) == text


def test_one_session_and_two_sessions() -> None:
    assert [counted(count, "session") for count in (0, 1, 2)] == ["0 sessions", "1 session", "2 sessions"]


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("evil\u202etxt.exe", "evil\\x202etxt.exe"),
        ("a\rb", "a\\x0db"),
        ("\x07bell", "\\x07bell"),
        ("naïve 漢字", "naïve 漢字"),
        ("laptop\nAccept? [y/N] y", "laptop\\x0aAccept? [y/N] y"),
    ],
)
def test_control_and_bidi_characters_and_newlines_become_visible(text: str, harmless: str) -> None:
    assert shown(text) == harmless


@given(st.text(st.characters() | st.sampled_from("\n\r\x1b\u202e\u2028")))
def test_nothing_unprintable_is_left_and_no_line_ends(text: str) -> None:
    assert shown(text).isprintable()


def test_columns_are_aligned_and_lines_end_without_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    table(["NAME", "ID"], [["desktop", "a"], ["x", "bbbb"]])
    assert capsys.readouterr().out.splitlines() == ["NAME     ID", "desktop  a", "x        bbbb"]


def test_a_table_cell_is_escaped_and_still_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    table(["NAME", "ID"], [["\x1b", "a"], ["desk", "b"]])
    assert capsys.readouterr().out.splitlines() == ["NAME  ID", "\\x1b  a", "desk  b"]


def test_an_empty_table_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    table(["NAME", "ID"], [])
    assert capsys.readouterr().out == "NAME  ID\n"


def test_json_is_one_ascii_line_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"title": "漢字\n\x1b", "bytes": 3}
    print_json(fields)
    out, err = capsys.readouterr()
    assert out.isascii()
    assert out.count("\n") == 1
    assert (json.loads(out), err) == (fields, "")


def test_what_is_said_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("\x1bhello")
    assert capsys.readouterr() == ("", "\\x1bhello\n")
