# SPDX-License-Identifier: Apache-2.0
"""What ``import p2p_handoff`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import p2p_handoff
from p2p_handoff import errors

FACES = {"Agent", "HandoffV2", "LinkKind", "MultiClientSyncHandler", "Settings"}
ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}


def test_the_public_names_are_the_faces_and_every_error() -> None:
    public = {name for name in dir(p2p_handoff) if name[0].isupper() and name not in ("TYPE_CHECKING", "Final")}
    assert public == FACES | ERRORS


@pytest.mark.parametrize("name", sorted(FACES | ERRORS))
def test_every_public_name_can_be_used(name: str) -> None:
    assert getattr(p2p_handoff, name).__name__ == name


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Agents'"):
        _ = p2p_handoff.Agents


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'asyncio', 'aiohttp', 'aiortc', 'cryptography', 'sqlite3', 'p2p_handoff.agent', 'p2p_handoff.errors'}"
    code = f"import sys, p2p_handoff; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"
