# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.devices import BenchError
from bench.peers import tools
from bench.peers.base import PeerMissingError
from bench.places import Place

HERE = Place("127.0.0.1")


def test_a_command_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PeerMissingError, match="sshd is not here: install openssh-server"):
        tools.command("sshd")


def test_a_command_that_fails_gives_no_time() -> None:
    with pytest.raises(BenchError, match="exit 3: why"):
        tools.timed(HERE, ["sh", "-c", "echo why >&2; exit 3"])


def test_a_virtual_environment_that_cannot_be_made_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p2p-handoff-bench").touch()  # a file where its directory would be
    monkeypatch.setattr(tools, "user_cache_path", lambda name: tmp_path / name)
    with pytest.raises(PeerMissingError, match="other cannot be installed"):
        tools.virtual_environment("other", ["a==1"])


def test_a_virtual_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "user_cache_path", lambda name: tmp_path / name)
    place = tmp_path / "p2p-handoff-bench" / "other"
    place.mkdir(parents=True)
    (place / "installed").write_text("a==1\nb==2")
    assert tools.virtual_environment("other", ["a==1", "b==2"]) == place / "bin"
