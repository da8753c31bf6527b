# SPDX-License-Identifier: Apache-2.0
"""The command line as a person runs it: in this process where no agent is needed, as a process where one is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.cli import main as command_line

DEADLINE = 30.0
"""Seconds for one command on a busy machine."""


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    exit_code: int
    out: str
    err: str

    @property
    def last(self) -> dict[str, Any]:
        """The last line of ``--json``: result or error."""
        fields = json.loads(self.out.splitlines()[-1])
        assert isinstance(fields, dict)
        return fields


class InProcess:
    """Runs commands that need no agent in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str) -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["handoff", *words])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        out, err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, out, err)


class Device:
    """The real command with a home of its own; its agent finds nobody and ends with the device."""

    def __init__(self, place: Path, *, name: str = "laptop", peers: tuple[str, ...] = ()) -> None:
        self.place = place
        self.home = place / "home"
        self.home.mkdir(mode=0o700)
        settings = {"name": name, "mdns": False, "receive_dir": f"{place}/received", "peers": list(peers)}
        (self.home / "config.toml").write_text("".join(f"{key} = {json.dumps(settings[key])}\n" for key in settings))
        self._environment = {**os.environ, "HANDOFF_HOME": str(self.home), "XDG_RUNTIME_DIR": "", "COLUMNS": "120"}

    def __call__(self, *words: str, cwd: Path | None = None) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "p2p_handoff.cli.main", *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self._environment,
            cwd=cwd or self.place,
            timeout=DEADLINE,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on until it is ended."""
        return subprocess.Popen(
            [sys.executable, "-m", "p2p_handoff.cli.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self._environment,
            cwd=self.place,
        )


@pytest.fixture
def handoff(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> InProcess:
    """Runs a command in this process, on a home where no agent runs."""
    monkeypatch.setenv("HANDOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    return InProcess(monkeypatch, capsys)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """One device for the tests of a module: starting an agent takes a second."""
    started = Device(tmp_path_factory.mktemp("device"))
    yield started
    started("agent", "stop")
