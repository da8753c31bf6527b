# SPDX-License-Identifier: Apache-2.0
"""Every mistake of a settings file is found, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.session.policy import Verdict
from p2p_handoff.settings.reading import complaint, read
from p2p_handoff.settings.toml_lines import Place


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('# mine\n\n  nane = "x"\n', 3, 3, "nane: unknown setting (did you mean 'name'?)"),
        ('[device.x]\npush = "yes"\n', 2, 1, "device.x.push: must be accept, ask or refuse"),
        ('[device.x.floder]\npush = "ask"\n', 1, 1, "device.x.floder: unknown setting (did you mean 'folder'?)"),
        ('[device]\npush = "ask"\n', 2, 1, "device.push: must be a table"),
        ('[policy]\npush = "ask"\n', 2, 1, "policy.push: unknown setting; known are own, other"),
        ('[policy.other.folder]\ntake = "accept"', 2, 1, "policy.other.folder.take: can be"),
        ('device = { "my phone" = {\n push = 1 } }\n', 1, 1, ""),
        ('name = "a"\nname = "b"\n', 2, 11, "not valid TOML: cannot overwrite a value"),
        ("port = \n", 1, 8, "not valid TOML: invalid value"),
        ('name = "a', 1, 10, "not valid TOML: "),
        (f"port = {'1' * 5000}\n", 1, 1, "not valid TOML: exceeds the limit"),
        ('receive_dir = "~nobody-of-that-name/x"\n', 1, 1, "receive_dir: "),
        ("[[policy]]\n", 1, 1, "policy: must be a table"),
        ("name = { x = 1 }\n", 1, 1, "name: must be a text"),
    ],
)
def test_a_mistake_has_its_place(text: str, line: int, column: int, words: str) -> None:
    [mistake] = read(text).mistakes
    assert mistake.what.startswith(words)
    assert mistake.place.line == line
    assert not words or mistake.place.column == column


def test_all_mistakes_are_found_in_the_order_of_lines_and_what_is_right_is_kept() -> None:
    document = read('port = -1\nname = "laptop"\n[policy.own]\npush = "no"\ntake = "refuse"\n')
    assert [mistake.place.line for mistake in document.mistakes] == [1, 4]
    assert document.values == {("name",): "laptop", ("policy", "own", "take"): Verdict.REFUSE}


def test_the_error_begins_as_editors_like_it() -> None:
    mistakes = read("a = 1\nb = 2\n").mistakes
    error = complaint(Path("/home/config.toml"), mistakes)
    assert error.what.startswith("/home/config.toml:1:1: a: unknown setting; known are name, ")
    assert error.what.endswith("(and 1 more)")


def test_a_key_in_an_inline_table_has_the_place_of_its_statement() -> None:
    assert read('name = "x"\ndevice = { x = { push = "ask" } }').place(("device", "x", "push")) == Place(2, 1)


@given(st.text(alphabet="[]{}=.\"'#\\\\\n\r\t ,abpush1-_é\x00", max_size=60) | st.text(max_size=40))
def test_any_text_is_read_or_has_a_mistake_with_a_place_in_it(text: str) -> None:
    document = read(text)
    lines = text.split("\n")
    for mistake in document.mistakes:
        assert 1 <= mistake.place.line <= len(lines)
        assert mistake.place.column >= 1
        assert mistake.what


def test_nothing_says_nothing() -> None:
    assert read("").values == {}
    assert read("").mistakes == ()
