# SPDX-License-Identifier: Apache-2.0
"""A draft in an editor: a shell script in its place, run as the real one is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from p2p_handoff import CancelledError, UsageError
from p2p_handoff.cli.editor import Draft


def editor(place: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "my editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"'{path}' --wait")


def test_the_editor_gets_a_private_copy_and_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(tmp_path, '[ "$1" = --wait ] && echo "port = 1" >> "$2"', monkeypatch)
    draft = Draft(tmp_path / "config.toml", "# mine\n")
    assert draft.edit() == "# mine\nport = 1\n"
    assert stat.S_IMODE(draft.path.stat().st_mode) == 0o600
    assert not (tmp_path / "config.toml").exists()
    draft.discard()
    assert not draft.path.exists()


def test_an_empty_file_begins_with_a_hint_which_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(tmp_path, "true", monkeypatch)
    draft = Draft(tmp_path / "config.toml", "")
    text = draft.edit()
    assert text.startswith("# What can be set: docs/configuration.md")
    assert not draft.is_changed(text)
    assert draft.is_changed(f"{text}port = 1\n")


def test_a_draft_that_was_kept_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(tmp_path, "true", monkeypatch)
    (tmp_path / "config.toml.draft").write_text("port = 2\n")
    assert Draft(tmp_path / "config.toml", "port = 1\n").edit() == "port = 2\n"


def test_an_editor_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(tmp_path, "exit 3", monkeypatch)
    draft = Draft(tmp_path / "config.toml", "port = 1\n")
    with pytest.raises(CancelledError, match="ended with code 3") as caught:
        draft.edit()
    assert str(draft.path) in caught.value.advice


def test_an_editor_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="missing cannot be started"):
        Draft(tmp_path / "config.toml", "").edit()


def test_without_any_editor_it_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no editor"):
        Draft(tmp_path / "config.toml", "").edit()


def test_what_is_not_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(tmp_path, "printf '\\377' > \"$2\"", monkeypatch)
    with pytest.raises(UsageError, match="cannot be read"):
        Draft(tmp_path / "config.toml", "").edit()


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "config.toml", "port = 1\n")
    draft.check_unchanged("port = 1\n")
    with pytest.raises(CancelledError, match="was changed meanwhile"):
        draft.check_unchanged("port = 2\n")
