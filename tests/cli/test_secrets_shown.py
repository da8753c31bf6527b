# SPDX-License-Identifier: Apache-2.0
"""How secrets are told to people."""

from __future__ import annotations

from typing import Any

from p2p_handoff.cli.secrets_shown import lines


def item(path: str, kind: str = "private-key", *, withheld: bool) -> dict[str, Any]:
    held_by = "laptop" if withheld else ""
    return {"name": "project", "path": path, "kind": kind, "withheld": withheld, "held_by": held_by}


def test_what_is_withheld_comes_first() -> None:
    assert list(lines([item("a", withheld=False), item("b", withheld=True), item("", withheld=True)])) == [
        "withheld, it is on laptop: project/b (private-key)",
        "withheld, it is on laptop: project (private-key)",
        "goes along, and looks like a secret: project/a (private-key)",
    ]


def test_a_file_with_several_kinds_is_one_line() -> None:
    found = [item(".env", "aws-key", withheld=True), item("a", withheld=True), item(".env", "env", withheld=True)]
    assert list(lines(found)) == [
        "withheld, it is on laptop: project/.env (aws-key, env)",
        "withheld, it is on laptop: project/a (private-key)",
    ]


def test_a_long_list_is_cut_and_says_so() -> None:
    shown = list(lines([item(str(number), withheld=False) for number in range(30)]))
    assert len(shown) == 21
    assert shown[-1] == "and 10 more of these"


def test_nothing_is_said_of_nothing() -> None:
    assert not list(lines([]))
