# SPDX-License-Identifier: Apache-2.0
"""store.home: private, and for one agent at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2p_handoff.errors import StorageError, TrustError, UsageError
from p2p_handoff.ids import PartId
from p2p_handoff.store.home import Home, lock, prepare
from tests.session.ownership_world import session_id

HOLDER = """
import sys
from pathlib import Path
from p2p_handoff.store.home import lock, prepare
with lock(prepare(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_home_is_made_private_with_its_parents(tmp_path: Path) -> None:
    home = prepare(tmp_path / "a" / "home")
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert prepare(home.path) == home


def test_a_home_that_others_may_enter_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o750)
    with pytest.raises(TrustError) as caught:
        prepare(tmp_path / "home")
    assert caught.value.advice == f"run: chmod 700 {tmp_path / 'home'}"


def test_a_link_and_a_file_are_no_home(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(TrustError, match="symbolic link"):
        prepare(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        prepare(tmp_path / "file")


def test_another_users_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(TrustError, match="another user"):
        prepare(tmp_path / "home")


def test_a_second_agent_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    home = prepare(tmp_path / "home")
    command = [sys.executable, "-c", HOLDER, str(home.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=rf"already running on this home \(pid {holder.pid}\)"), lock(home):
            pass
        holder.kill()
    with lock(home):
        pass


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    home = prepare(tmp_path / "home")
    for _ in range(2):
        with lock(home):
            assert home.lock.read_text() == f"{os.getpid()}\n"


def test_a_home_that_is_gone_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(StorageError), lock(Home(tmp_path / "missing")):
        pass


def test_everything_of_a_home_is_inside_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    paths = [home.identity, home.database, home.lock, home.settings, home.log]
    paths.append(home.part_state(session_id(), PartId("p1")))
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(tmp_path) for path in paths)
