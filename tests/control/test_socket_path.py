# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2p_handoff.control.socket_path import MAX_SOCKET_PATH, socket_path
from p2p_handoff.errors import UsageError


@pytest.fixture(autouse=True)
def _no_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def test_a_private_runtime_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert socket_path(Path("/home/ann")).parent == tmp_path / "p2p-handoff"


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_runtime_directory_that_others_may_enter_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    tmp_path.chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert socket_path(Path("/home/ann")) == Path("/home/ann/agent.sock")


def test_a_runtime_directory_that_does_not_exist_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    assert socket_path(Path("/home/ann")) == Path("/home/ann/agent.sock")


def test_a_deep_home_gets_a_short_path_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/var/short")
    one, two = (socket_path(Path("/home") / letter / ("x" * 120)) for letter in "ab")
    assert one.parent == two.parent == Path(f"/var/short/p2p-handoff-{os.geteuid()}")
    assert one != two
    assert len(str(one)) <= MAX_SOCKET_PATH


def test_two_spellings_of_a_home_are_one_agent(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert socket_path(tmp_path / "link") == socket_path(tmp_path / "sub" / "..")


def test_without_any_short_path_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/" + "x" * 120)
    with pytest.raises(UsageError, match="short") as caught:
        socket_path(Path("/home") / ("y" * 120))
    assert "TMPDIR" in caught.value.advice
