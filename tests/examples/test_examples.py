# SPDX-License-Identifier: Apache-2.0
"""The examples run as they are, each as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_handoff_v2_prints_what_arrives() -> None:
    shown = run("handoff_v2.py")
    assert 'laptop offers "the evening\'s work"' in shown
    assert "desktop is its primary now, epoch 2" in shown
    assert "- files: " in shown
    assert '    {"role": "assistant", "text": "gladly"}' in shown


def test_multi_client_sync_is_rejected_and_then_accepted() -> None:
    shown = run("multi_client_sync.py")
    assert "desktop said no: I am on a train" in shown
    assert "the laptop is primary still" in shown
    assert "the laptop is secondary, the desktop is primary" in shown


def test_watch_events_tells_both_sides_of_both_handoffs() -> None:
    lines = [line.split() for line in run("watch_events.py").splitlines()]
    ends = [words[0] for words in lines if words[1] == "handoff"]
    assert sorted(ends) == ["desktop", "desktop", "laptop", "laptop"]


def test_there_is_a_test_for_every_example() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'run("{path.name}")' in source, path.name


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_says_how_it_is_run(path: Path) -> None:
    assert f"python examples/{path.name}" in path.read_text(encoding="utf-8")
