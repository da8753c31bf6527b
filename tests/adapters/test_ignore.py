# SPDX-License-Identifier: Apache-2.0
"""Ignore rules."""

from __future__ import annotations

import pytest

from p2p_handoff.adapters.ignore import IgnoreRules, is_own, staging_name
from p2p_handoff.errors import UsageError


def test_patterns_are_those_of_git() -> None:
    rules = IgnoreRules(b"# comment\n*.log\n!keep.log\n/top\nbuild/\n!\n")
    assert rules.ignores(b"deep/a.log", directory=False)
    assert not rules.ignores(b"keep.log", directory=False)
    assert rules.ignores(b"top", directory=False)
    assert not rules.ignores(b"deep/top", directory=False)
    assert rules.ignores(b"build", directory=True)
    assert not rules.ignores(b"build", directory=False)


def test_what_lies_in_an_ignored_directory_is_ignored() -> None:
    rules = IgnoreRules(b"build/\n")
    assert rules.ignores_within(b"a/build/deep/file", directory=False)
    assert not rules.ignores_within(b"a/built/file", directory=False)


def test_without_rules_only_our_own_names_are_ignored() -> None:
    rules = IgnoreRules()
    assert rules.ignores(b"a/.x.handoff-t1", directory=True)
    assert not rules.ignores(b"a/\xff", directory=False)


@pytest.mark.parametrize("part", [b"project", b"n" * 255, "é".encode() * 127])
def test_a_staging_name_is_ours_and_fits(part: bytes) -> None:
    name = staging_name(part, "t1-p1")
    assert is_own(name)
    assert len(name) <= 255


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 65])
def test_a_staging_is_named_by_a_plain_word(name: str) -> None:
    with pytest.raises(UsageError):
        staging_name(b"project", name)
