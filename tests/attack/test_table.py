# SPDX-License-Identifier: Apache-2.0
"""The table of docs/attacks.md names every attack that is played, and only tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.attack.table import ATTACKS

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "attacks.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE)))


@cache
def names_in(path: str) -> frozenset[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, functions)
    )


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_table_names_exists(path: str, name: str) -> None:
    assert name in names_in(path)


def test_the_table_has_every_attack_and_no_other() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert set(re.findall(r"\*\*([a-z]+-?[a-z-]*)\*\*", TABLE.partition("## 6.")[0])) - {"bold"} == set(names)
