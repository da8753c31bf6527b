# SPDX-License-Identifier: Apache-2.0
"""Codes are said aloud, typed carelessly, and still understood; or the wrong word is named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.errors import LinkCodeError
from p2p_handoff.ids import DeviceId
from p2p_handoff.security.words import (
    CODE_WORDS,
    MAX_NAMEPLATE,
    UNIQUE_PREFIX,
    URI_SCHEME,
    WORDS,
    LinkCode,
    key_words,
    words_of,
)

CODES = st.builds(LinkCode, st.integers(1, MAX_NAMEPLATE), st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)))
SEPARATORS = st.text(alphabet=" -_,.\t", min_size=1, max_size=3)


def test_the_word_list_is_the_one_of_bip_39() -> None:
    assert len(WORDS) == len({word[:UNIQUE_PREFIX] for word in WORDS}) == 2048
    text = "\n".join(WORDS) + "\n"
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    )


@given(CODES)
def test_a_code_is_read_back_from_its_text(code: LinkCode) -> None:
    assert LinkCode.parse(code.text) == code


@given(CODES, SEPARATORS, SEPARATORS, st.sampled_from([str.upper, str.title, str.lower]))
def test_a_carelessly_typed_code_is_understood(code: LinkCode, one: str, two: str, case: Callable[[str], str]) -> None:
    first, second = (word[: max(UNIQUE_PREFIX, len(word) // 2)] for word in code.words)
    assert LinkCode.parse(case(f" {code.nameplate}{one}{first}{two}{second}\n")) == code


def test_the_nameplate_is_public_and_only_the_words_are_secret() -> None:
    code = LinkCode(7, ("velvet", "sausage"))
    assert code.text == "7-velvet-sausage"
    assert code.secret == b"velvet-sausage"
    assert repr(code) == "LinkCode(nameplate=7)"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a number and 2 words"),
        ("7-velvet", "a number and 2 words"),
        ("7-velvet-sausage-extra", "a number and 2 words"),
        ("7-velvet-sausage " * 20, "a number and 2 words"),
        ("velvet-7-sausage", "begins with a number"),
        ("-7-velvet-sausage-", None),
        ("0-velvet-sausage", "from 1 to 9999"),
        ("12345-velvet-sausage", "begins with a number"),
        ("7-purple-sausage", "'purple' is not a word"),
        ("7-vel-sausage", "'vel' is not a word"),
        ("7-velvet-sausages", "'sausages' is not a word"),
        ("\N{ARABIC-INDIC DIGIT SEVEN}-velvet-sausage", "begins with a number"),
    ],
)
def test_what_is_wrong_with_a_code_is_named(text: str, complaint: str | None) -> None:
    if complaint is None:
        assert LinkCode.parse(text).text == "7-velvet-sausage"
        return
    with pytest.raises(LinkCodeError, match=complaint):
        LinkCode.parse(text)


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        code = LinkCode.parse(text)
    except LinkCodeError:
        return
    assert LinkCode.parse(code.text) == code


@pytest.mark.parametrize("words", [("purple", "sausage"), ("velvet", "saus"), ("", "velvet")])
def test_a_code_consists_of_whole_words_of_the_list(words: tuple[str, str]) -> None:
    with pytest.raises(LinkCodeError):
        LinkCode(7, words)


def test_generated_codes_differ_and_draw_three_random_bytes() -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    codes = {LinkCode.generate(7, entropy).words for _ in range(20)}
    assert len(codes) > 15
    assert set(asked) == {3}


def test_every_pair_of_words_is_equally_likely() -> None:
    """22 of 24 bits are used, so four byte strings lead to each pair: shown for the first words in order."""
    pairs = [words_of((number << 2 | low).to_bytes(3, "big"), 2) for number in range(64) for low in range(4)]
    assert pairs == [(WORDS[0], WORDS[number]) for number in range(64) for _ in range(4)]
    assert words_of(b"\xff\xff\xff", 2) == (WORDS[-1], WORDS[-1])


def test_a_key_has_four_words_and_another_key_other_ones() -> None:
    one, other = key_words(DeviceId("a" * 32)), key_words(DeviceId("b" * 32))
    assert one == " ".join([WORDS[0]] * 4)
    assert len(other.split()) == 4
    assert one != other


def test_a_hundred_thousand_guesses_are_as_many_of_four_million_codes() -> None:
    """Every 22 bits stand for a pair of words of their own, so that no guess is better than another: 2^-22 each."""
    step = 2**22 // 100_000
    codes = {words_of((number << 2).to_bytes(3, "big"), CODE_WORDS) for number in range(0, 2**22, step)}
    assert len(codes) == len(range(0, 2**22, step)) >= 100_000
    assert len(WORDS) ** CODE_WORDS == 2**22 > 2**20


def test_what_a_camera_reads_is_a_code_too() -> None:
    assert LinkCode.parse("HANDOFF:7-Velvet-Sausage") == LinkCode.parse(URI_SCHEME + "7 velv saus")
