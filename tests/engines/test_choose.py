# SPDX-License-Identifier: Apache-2.0
"""Which engine is used, and what a crash of native code changes."""

from __future__ import annotations

import faulthandler
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.engines import native_engine
from p2p_handoff.engines.choose import choose_engine, crashed, disarm
from p2p_handoff.errors import StorageError, UsageError

needs_native = pytest.mark.skipif(not native_engine.available(), reason="the extra `fast` is not installed")


@pytest.fixture(autouse=True)
def _keep_crash_reports() -> Iterator[None]:
    """Pytest has its own crash reports: give them back."""
    yield
    faulthandler.enable(2)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "native-crash"
    yield path
    disarm(path)


def run_with_native_engine(marker: Path, ending: str) -> int:
    """Run a process that chooses the native engine and ends as told. Returns its exit status."""
    code = (
        "import faulthandler, os, signal, sys, pathlib\n"
        "from p2p_handoff.engines.choose import choose_engine, disarm\n"
        "marker = pathlib.Path(sys.argv[1])\n"
        f"assert choose_engine('auto', marker).name == 'wrtc'\n{ending}\n"
    )
    command = [sys.executable, "-c", code, str(marker)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


def test_an_unknown_wish_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no engine 'fastest'"):
        choose_engine("fastest")


def test_aiortc_is_always_there() -> None:
    assert choose_engine("aiortc").name == "aiortc"


@needs_native
def test_auto_prefers_the_native_engine() -> None:
    assert choose_engine("auto").name == "wrtc"


def test_auto_does_without_the_native_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_engine, "available", lambda: False)
    assert choose_engine("auto").name == "aiortc"


def test_wishing_for_a_missing_native_engine_tells_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtc", None)
    with pytest.raises(UsageError) as caught:
        choose_engine("wrtc")
    assert "p2p-handoff[fast]" in caught.value.advice


@needs_native
def test_a_crash_of_native_code_moves_the_next_start_to_aiortc(marker: Path) -> None:
    assert run_with_native_engine(marker, "os.abort()") != 0
    assert crashed(marker)
    assert choose_engine("auto", marker).name == "aiortc"


@needs_native
def test_wishing_by_name_forgets_the_crash(marker: Path) -> None:
    marker.write_text("Fatal Python error: Aborted")
    assert choose_engine("wrtc", marker).name == "wrtc"
    assert not crashed(marker)
    disarm(marker)
    assert not marker.exists()


@needs_native
def test_a_killed_process_is_no_crash(marker: Path) -> None:
    run_with_native_engine(marker, "os.kill(os.getpid(), signal.SIGKILL)")
    assert marker.exists()
    assert not crashed(marker)


@needs_native
def test_a_clean_shutdown_leaves_no_marker(marker: Path) -> None:
    assert run_with_native_engine(marker, "disarm(marker)") == 0
    assert not marker.exists()


@needs_native
def test_a_marker_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        choose_engine("wrtc", tmp_path / "missing" / "marker")
