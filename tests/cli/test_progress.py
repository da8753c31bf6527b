# SPDX-License-Identifier: Apache-2.0
"""What a command tells while it runs."""

from __future__ import annotations

import json

import pytest

from p2p_handoff.cli.progress import HandoffProgress

PROGRESS = {
    "txn": "t",
    "phase": "copying",
    "round": 1,
    "bytes": 10,
    "remaining": 5,
    "rate": 5,
    "left": 1.0,
    "reused_bytes": 0,
}


def test_with_json_every_event_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with HandoffProgress(as_json=True) as progress:
        progress.on_event("progress", PROGRESS)
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"event": "progress", **PROGRESS}, "")


def test_on_a_terminal_the_bar_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with HandoffProgress(as_json=False) as progress:
        progress.on_event("progress", {**PROGRESS, "round": 2, "reused_bytes": 2000})
    shown = capsys.readouterr().err
    for words in ("copying, round 2", "10/15 bytes", "2.0 KB there already", "5 B/s", "0:01 left"):
        assert words in shown


def test_in_a_pipe_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with HandoffProgress(as_json=False) as progress:
        progress.on_event("progress", PROGRESS)
    assert capsys.readouterr() == ("", "")


def test_a_code_comes_with_what_to_run_on_the_other_device(capsys: pytest.CaptureFixture[str]) -> None:
    with HandoffProgress(as_json=False, code_hint="handoff link {code}") as progress:
        progress.on_event("code", {"code": "7-velvet-sausage"})
    out, err = capsys.readouterr()
    assert out == ""
    assert "handoff link 7-velvet-sausage" in err


def test_a_name_from_another_device_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    with HandoffProgress(as_json=False) as progress:
        progress.on_event("peer", {"name": "\x1b[2Jdesk", "verification": "a b c d"})
    assert "\x1b" not in capsys.readouterr().err


def test_someone_who_must_be_asked_is_waited_for_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with HandoffProgress(as_json=False) as progress:
        progress.on_event("offered", {"name": "desktop", "asks": True})
        progress.on_event("offered", {"name": "laptop", "asks": False})
    err = capsys.readouterr().err
    assert "desktop" in err
    assert "laptop" not in err
