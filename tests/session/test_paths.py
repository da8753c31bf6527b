# SPDX-License-Identifier: Apache-2.0
"""A peer's names: taken exactly or refused on disk, defused where they are only proposed or shown."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.errors import HandoffError, PathError
from p2p_handoff.limits import MAX_NAME_BYTES
from p2p_handoff.session.paths import check_siblings, conflict_name, printable, safe_component, safe_name

ANY_TEXT = st.text(st.characters(), max_size=300) | st.text("ab./\\-~ \x00\x1b\u202e\ud800ü💾", max_size=300)
STAMP = "20261121-101500"


# --- components -----------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_a_component_comes_back_exactly_or_is_refused(name: bytes) -> None:
    try:
        text = safe_component(name)
    except PathError:
        assert name in {b"", b".", b".."} or b"/" in name or b"\0" in name or len(name) > MAX_NAME_BYTES
        return
    assert os.fsencode(text) == name
    assert os.path.basename(text) == text  # noqa: PTH119 - the function under attack is this one
    assert text not in {"", ".", ".."}


@pytest.mark.parametrize(
    "name", [b"", b".", b"..", b"/", b"/etc", b"a/b", b"../x", b"a\0", b"\0", b"x" * 256, "ü".encode() * 128]
)
def test_a_name_that_leaves_its_directory_is_refused(name: bytes) -> None:
    with pytest.raises(PathError):
        safe_component(name)


@pytest.mark.parametrize("name", [b"...", b" ", b"-rf", b"\xff\xfe", b"a\nb", b"CON", b"x" * 255, "名".encode()])
def test_an_ugly_but_possible_name_is_taken_exactly(name: bytes) -> None:
    assert os.fsencode(safe_component(name)) == name


def test_a_refusal_can_be_shown_on_a_terminal() -> None:
    with pytest.raises(PathError) as caught:
        safe_component(b"\x1b[2J/evil")
    assert "\x1b" not in caught.value.sentence


# --- siblings -------------------------------------------------------------------------------------


def collide(*names: str, case_insensitive: bool, normalise_unicode: bool) -> bool:
    try:
        check_siblings(map(os.fsencode, names), case_insensitive=case_insensitive, normalise_unicode=normalise_unicode)
    except PathError:
        return True
    return False


def test_a_collision_names_both() -> None:
    with pytest.raises(PathError, match=r"README.*readme"):
        check_siblings([b"a", b"README", b"readme"], case_insensitive=True, normalise_unicode=False)


@pytest.mark.parametrize(
    ("first", "second", "by_case", "by_form"),
    [
        ("README", "readme", True, False),
        (".git", ".GIT", True, False),
        ("Straße", "STRASSE", True, False),
        ("é", "e\u0301", False, True),
        (".git", ".g\u200cit", False, True),
        ("a", "b", False, False),
    ],
)
def test_names_that_a_file_system_would_merge_are_refused(
    first: str, second: str, by_case: bool, by_form: bool
) -> None:
    assert collide(first, second, case_insensitive=True, normalise_unicode=False) == by_case
    assert collide(first, second, case_insensitive=False, normalise_unicode=True) == by_form
    assert collide(first, second, case_insensitive=True, normalise_unicode=True) == (by_case or by_form)
    assert not collide(first, second, case_insensitive=False, normalise_unicode=False)


def test_case_and_form_together_are_seen() -> None:
    assert collide("É", "e\u0301", case_insensitive=True, normalise_unicode=True)
    assert not collide("É", "e\u0301", case_insensitive=True, normalise_unicode=False)


@given(st.lists(st.binary(min_size=1, max_size=4), unique=True), st.booleans(), st.booleans())
def test_any_names_collide_or_pass_without_another_error(names: list[bytes], fold: bool, normalise: bool) -> None:
    try:
        check_siblings(names, case_insensitive=fold, normalise_unicode=normalise)
    except HandoffError:
        assert fold or normalise


# --- default destinations -------------------------------------------------------------------------


@given(ANY_TEXT, ANY_TEXT)
def test_a_proposed_name_is_always_one_safe_visible_component(text: str, fallback: str) -> None:
    name = safe_name(text, fallback)
    assert os.fsencode(safe_component(name.encode())) == name.encode()
    assert name[0] not in ".-~"
    assert not set(name) & set('/\\:<>"|?*')
    assert name == name.strip()
    assert printable(name, 1000) == name
    assert safe_name(name, "x") == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("project", "project"),
        ("Tag der offenen Tür.md", "Tag der offenen Tür.md"),
        ("../../.ssh/authorized_keys", "sshauthorized_keys"),
        ("-rf", "rf"),
        ("~root", "root"),
        ("...", "fallback"),
        ("", "fallback"),
        ("\u3164\u2800", "fallback"),
        ("\u0301", "fallback"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\x1b[31mred", "[31mred"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1 .log", "_com1 .log"),
        ("Console", "Console"),
        ("name. . ", "name"),
        ("x" * 400, "x" * 254),
        ("ü" * 400, "ü" * 127),
    ],
)
def test_a_proposed_name_is_defused(text: str, expected: str) -> None:
    assert safe_name(text, "fallback") == expected


def test_a_bad_fallback_is_defused_too() -> None:
    assert safe_name("", "../x") == "x"
    assert safe_name("", "/") == "unnamed"


# --- terminals ------------------------------------------------------------------------------------


@given(ANY_TEXT, st.integers(0, 80))
def test_what_is_printed_neither_moves_nor_hides_and_is_bounded(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert all(unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("Grüße 名 💾", "Grüße 名 💾"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("two\nlines\r", "two\\x0alines\\x0d"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone\ud800", "lone\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_made_visible(text: str, expected: str) -> None:
    assert printable(text, 80) == expected


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert printable("abcdef", 6) == "abcdef"
    assert printable("abcdefg", 6) == "abcde…"
    assert printable("abc", 0) == ""


# --- conflict copies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "attempt", "expected"),
    [
        ("notes.md", 1, "notes.conflict-desktop-20261121-101500.md"),
        ("notes.md", 2, "notes.conflict-desktop-20261121-101500-2.md"),
        ("Makefile", 1, "Makefile.conflict-desktop-20261121-101500"),
        (".bashrc", 1, ".bashrc.conflict-desktop-20261121-101500"),
        ("a.tar.gz", 1, "a.tar.conflict-desktop-20261121-101500.gz"),
    ],
)
def test_a_conflict_copy_says_whose_and_when_and_keeps_its_suffix(name: str, attempt: int, expected: str) -> None:
    assert conflict_name(name, "desktop", STAMP, attempt) == expected


def test_a_device_name_cannot_lead_a_conflict_copy_elsewhere() -> None:
    assert conflict_name("a.md", "../my  desk/\x1b", STAMP, 1) == f"a.conflict-my-desk-{STAMP}.md"
    assert conflict_name("a.md", "", STAMP, 1) == f"a.conflict-device-{STAMP}.md"


@given(
    st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name),
    ANY_TEXT,
    st.integers(1, 10**6),
)
def test_a_conflict_copy_always_fits_the_file_system(name: bytes, device: str, attempt: int) -> None:
    copy = os.fsencode(conflict_name(os.fsdecode(name), device, STAMP, attempt))
    assert safe_component(copy)
    assert copy != name


def test_attempts_differ_however_long_the_name() -> None:
    names = {conflict_name("ü" * 127 + ".md", "d" * 200, STAMP, attempt) for attempt in range(1, 20)}
    assert len(names) == 19
    assert all(name.endswith(".md") and name.startswith("üü") for name in names)


def test_a_mark_that_a_forbidden_character_kept_apart_is_composed_with_its_letter() -> None:
    assert safe_name("cafe:\u0301", "x") == "caf\u00e9"
