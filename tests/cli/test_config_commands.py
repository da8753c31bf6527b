# SPDX-License-Identifier: Apache-2.0
"""``handoff config``: on the file alone, and beside a running agent."""

from __future__ import annotations

import io
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import DEADLINE, Device, InProcess


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The one of the fixture ``handoff``."""
    return tmp_path / "home"


def editing(place: Path, script: str) -> str:
    path = place / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_without_a_file_the_defaults_are_shown_and_no_home_is_made(home: Path, handoff: InProcess) -> None:
    answer = handoff("config")
    assert answer.exit_code == 0
    assert "policy.other.take" in answer.out
    assert "not there yet" in answer.err
    assert not home.exists()
    assert handoff("config", "show").out == answer.out


def test_a_setting_is_set_shown_and_taken_out(home: Path, handoff: InProcess) -> None:
    made = handoff("config", "set", "device.desktop.may_leave", "messages", "--json").last
    path = str(home / "config.toml")
    assert made == {"key": "device.desktop.may_leave", "value": ["messages"], "path": path, "agent": "none"}
    shown = {item["key"]: item for item in handoff("config", "--json").last["settings"]}
    assert shown["device.desktop.may_leave"]["line"] == 2
    assert handoff("config", "get", "device.desktop").out == 'device.desktop.may_leave = ["messages"]\n'
    assert handoff("config", "get", "max_pause").out == "0.3\n"
    assert handoff("config", "get", "name", "--json").last["source"] == "default"
    assert handoff("config", "unset", "device", "--json").last["agent"] == "none"
    assert handoff("config", "get", "device.desktop").out == ""


def test_what_has_no_value_is_not_found(home: Path, handoff: InProcess) -> None:
    answer = handoff("config", "get", "device.desktop.push", "--json")
    assert (answer.exit_code, answer.last["error"]["code"]) == (4, "not-found")
    assert handoff("config", "unset", "port").exit_code == 4


def test_a_wrong_value_writes_nothing(home: Path, handoff: InProcess) -> None:
    answer = handoff("config", "set", "policy.own.push", "acept")
    assert answer.exit_code == 2
    assert "did you mean 'accept'?" in answer.err
    assert not (home / "config.toml").exists()


def test_a_broken_file_is_named_with_its_line_by_every_command(home: Path, handoff: InProcess) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text('name = "x"\ncolour = 1\n')
    for words in (["show"], ["get", "name"], ["set", "port", "1"]):
        answer = handoff("config", *words)
        assert answer.exit_code == 2
        assert "config.toml:2:1: colour: unknown setting" in answer.err
    assert handoff("config", "unset", "name").exit_code == 2
    assert (home / "config.toml").read_text() == 'name = "x"\ncolour = 1\n'


def test_an_edit_is_installed_when_it_is_right(
    home: Path, tmp_path: Path, handoff: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editing(tmp_path, 'echo "port = 4711" >> "$1"'))
    assert handoff("config", "edit", "--json").last["changed"] is True
    assert handoff("config", "get", "port").out == "4711\n"
    monkeypatch.setenv("VISUAL", editing(tmp_path, "true"))
    assert handoff("config", "edit", "--json").last == {
        "path": str(home / "config.toml"),
        "changed": False,
        "agent": "unchanged",
    }
    assert sorted(path.name for path in home.iterdir()) == ["config.toml"]


def test_a_broken_edit_is_never_installed_and_the_draft_is_kept(
    home: Path, tmp_path: Path, handoff: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff("config", "set", "port", "1")
    monkeypatch.setenv("VISUAL", editing(tmp_path, 'echo "port = many" > "$1"'))
    answer = handoff("config", "edit", "--json")
    assert answer.exit_code == 2
    assert "config.toml:1:8: not valid TOML" in answer.last["error"]["message"]
    assert (home / "config.toml").read_text() == "port = 1\n"
    assert (home / "config.toml.draft").read_text() == "port = many\n"


def test_a_person_may_edit_again_or_leave(home: Path, tmp_path: Path) -> None:
    # The first time the file is broken, the second time it is mended.
    script = 'if grep -q many "$1" 2>/dev/null; then echo "port = 2" > "$1"; else echo "port = many" > "$1"; fi'
    environment = {**os.environ, "VISUAL": editing(tmp_path, script), "HANDOFF_HOME": str(home)}
    for answer, code, text in ((b"n\n", 7, None), (b"y\n", 0, "port = 2\n")):
        (home / "config.toml.draft").unlink(missing_ok=True)
        controller, terminal = pty.openpty()
        os.write(controller, answer)
        command = [sys.executable, "-m", "p2p_handoff.cli.main", "config", "edit"]
        ended = subprocess.run(
            command, stdin=terminal, capture_output=True, env=environment, timeout=DEADLINE, check=False
        )
        os.close(controller)
        os.close(terminal)
        assert ended.returncode == code, ended.stderr
        assert b"Edit again?" in ended.stderr
        path = home / "config.toml"
        assert (path.read_text() if path.exists() else None) == text


def test_a_password_goes_into_a_file_of_its_own_and_nowhere_else(
    home: Path, handoff: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret of mine\n"))
    answer = handoff("config", "credential", "-", "--json")
    assert answer.last == {"path": str(home / "turn-credential")}
    assert (home / "turn-credential").read_text() == "secret of mine\n"
    assert stat.S_IMODE((home / "turn-credential").stat().st_mode) == 0o600
    assert "secret" not in answer.out + answer.err + handoff("config").out
    elsewhere = home.parent / "elsewhere"
    handoff("config", "set", "turn.credential_file", str(elsewhere))
    monkeypatch.setattr(sys, "stdin", io.StringIO("another\n"))
    assert handoff("config", "credential", "-").exit_code == 0
    assert elsewhere.read_text() == "another\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert handoff("config", "credential", "-").exit_code == 2
    assert elsewhere.read_text() == "another\n"


def test_a_running_agent_takes_over_what_it_can_and_says_what_it_cannot(device: Device) -> None:
    device("whoami")
    assert device("config", "set", "max_pause", "2", "--json").last["agent"] == "taken-over"
    assert device("config", "set", "engine", "aiortc", "--json").last["agent"] == "needs-restart"
    assert device("config", "set", "max_pause", "2", "--json").last["agent"] == "unchanged"
    answer = device("config", "unset", "engine")
    assert answer.exit_code == 0
    assert "nothing changes" in answer.err
    assert device("config", "unset", "max_pause", "--json").last["agent"] == "taken-over"


def test_a_file_that_was_edited_by_hand_is_read_again_when_asked(device: Device) -> None:
    device("whoami")
    config = device.home / "config.toml"
    before = config.read_text()
    config.write_text(f"max_pause = 3\nport = 4711\n{before}")
    assert device("agent", "reload", "--json").last == {"taken_over": ["max_pause"], "needs_restart": ["port"]}
    config.write_text(f"max_pause = -3\n{before}")
    answer = device("agent", "reload")
    assert answer.exit_code == 2
    assert "config.toml:1:1: max_pause" in answer.err
    config.write_text(before)
    assert device("agent", "reload").out == "Taken over: max_pause.\n"
    assert device("agent", "reload").out == "Nothing has changed.\n"


def test_a_table_for_a_device_that_is_not_linked_waits_for_it(device: Device) -> None:
    device("whoami")
    assert device("config", "set", "device.nobody.push", "ask").exit_code == 0
    assert device("peers", "--json").last["unclear"] == []
    assert device("config", "unset", "device").exit_code == 0
