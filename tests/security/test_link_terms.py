# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of linking keeps its promises."""

from __future__ import annotations

from p2p_handoff.security.link_terms import LinkKind, LinkOutcome, Role
from tests.security.link_party import CODE, LAPTOP, parameters


def test_each_role_faces_the_other() -> None:
    assert Role.OPENER.other is Role.JOINER
    assert Role.JOINER.other is Role.OPENER


def test_only_two_times_own_is_own() -> None:
    kinds = {
        (mine, theirs): LinkOutcome(LAPTOP.public, "laptop", mine, theirs).kind
        for mine in LinkKind
        for theirs in LinkKind
    }
    assert [pair for pair, kind in kinds.items() if kind is LinkKind.OWN] == [(LinkKind.OWN, LinkKind.OWN)]


def test_printed_parameters_do_not_show_the_code() -> None:
    text = repr(parameters(Role.OPENER))
    assert not any(word in text for word in CODE.words)
