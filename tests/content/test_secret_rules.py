# SPDX-License-Identifier: Apache-2.0
"""The rules as data: whole, well formed, and every one of them finds what it is for."""

from __future__ import annotations

import re
from random import Random

import pytest

from p2p_handoff.content.secret_rules import Rule, compiled, parse, shipped
from p2p_handoff.content.secret_search import Patterns
from tests.content.pattern_samples import sample

PATTERNS = Patterns(shipped())
WITH_PATTERN = [rule for rule in shipped().rules if rule.pattern]
TRIES = 60
"""Samples are random: some have too little entropy, or a word that is forgiven."""


def test_the_rules_of_gitleaks_and_ours_are_there_each_once() -> None:
    ids = [rule.id for rule in shipped().rules]
    assert len(ids) == len(set(ids)) > 230
    assert {"private-key", "github-pat", "aws-access-token", "jwt", "env-secret", "netrc"} <= set(ids)
    assert all(re.fullmatch(r"[a-z0-9-]{1,64}", name) for name in ids)


@pytest.mark.parametrize("rule", WITH_PATTERN, ids=lambda rule: str(rule.id))
def test_every_rule_finds_what_it_is_for(rule: Rule) -> None:
    dice = Random(rule.id)
    searcher = PATTERNS.searcher()
    scope = frozenset({rule.id}) if rule.path else frozenset()
    found: list[frozenset[str]] = []
    for _ in range(TRIES):
        text = sample(rule.pattern.decode(), dice)
        there = any(word.decode() in text.lower() for word in rule.keywords)
        word = "" if there or not rule.keywords else rule.keywords[0].decode()
        found.append(searcher.search([f"{word}\n{text}\n".encode()], scope))
        if rule.id in found[-1]:
            return
    pytest.fail(f"found {set().union(*found)} instead")


@pytest.mark.parametrize("rule", [rule for rule in shipped().rules if rule.path], ids=lambda rule: str(rule.id))
def test_a_rule_about_paths_is_a_pattern_that_can_be_used(rule: Rule) -> None:
    assert compiled(rule.path).search(b"src/main.py") is None


def test_other_rules_have_another_version() -> None:
    text = '[[rules]]\nid = "a"\nregex = "b"\n'
    assert parse([text]).version != parse([text.replace('"b"', '"c"')]).version != shipped().version


def test_a_rule_without_a_name_is_refused() -> None:
    with pytest.raises(KeyError):
        parse(['[[rules]]\nregex = "b"\n'])
