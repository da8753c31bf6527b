# SPDX-License-Identifier: Apache-2.0
"""The warden sees every change of the disk in one order, and each of its verdicts does what it says."""

from __future__ import annotations

import errno
import signal
import socket
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.cases import DISK, SENDS
from tests.chaos.system_calls import Act
from tests.chaos.warden import CutPower, Drop, Fail, Kill, Pass, Pause, Rule, Verdict, Warden, let_all_pass

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")

WRITES = """
    import os
    file = os.open("data", os.O_WRONLY | os.O_CREAT)
    for number in range(5):
        os.write(file, b"%d" % number)
        os.fsync(file)
    os.replace("data", "done")
"""

Watched = Callable[..., tuple[Warden, int]]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Runs a script behind a warden, in a directory of its own, to its end."""

    def run(
        script: str, rule: Rule = let_all_pass, acts: frozenset[Act] = DISK, *, follow_syncs: bool = False
    ) -> tuple[Warden, int]:
        code = f"import os; os.chdir({str(tmp_path)!r})\n{textwrap.dedent(script)}"

        def prepare(warden: Warden) -> None:
            warden.arm(rule, acts, follow_syncs=follow_syncs)

        warden = Warden([sys.executable, "-c", code], tmp_path / "log", prepare)
        try:
            return warden, warden.wait()
        finally:
            warden.kill()

    return run


def at(number: int, verdict: Verdict) -> Rule:
    return lambda call: verdict if call.number == number else Pass()


def test_every_change_of_the_disk_is_counted_with_its_file(watched: Watched) -> None:
    warden, code = watched(WRITES)
    assert code == 0
    names = [f"{call.name}({call.where})" for call in warden.calls]
    assert names == ["openat(data)", *["write(data)", "fsync(data)"] * 5, "rename(done)"]


@pytest.mark.parametrize(("point", "left"), [(1, None), (2, b""), (4, b"0"), (11, b"01234"), (12, b"01234")])
def test_a_kill_comes_before_the_call_and_nothing_comes_after(
    watched: Watched, tmp_path: Path, point: int, left: bytes | None
) -> None:
    warden, code = watched(WRITES, at(point, Kill()))
    assert code == -signal.SIGKILL
    assert len(warden.calls) == point
    path = tmp_path / "data"
    assert (path.read_bytes() if path.exists() else None) == left
    assert not (tmp_path / "done").exists()


def test_calls_of_all_threads_are_counted_in_one_order(watched: Watched, tmp_path: Path) -> None:
    script = """
        import os, threading
        def work(name):
            for _ in range(50):
                with open(name, "ab", buffering=0) as file:
                    file.write(b".")
        threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    warden, code = watched(script, at(333, Kill()))
    assert code == -signal.SIGKILL
    assert [call.number for call in warden.calls] == list(range(1, 334))
    written = sum((tmp_path / str(number)).stat().st_size for number in range(4))
    let_pass = sum(call.name == "write" for call in warden.calls[:-1])
    assert let_pass - 3 <= written <= let_pass  # Another thread may die before it does what it may.


def test_a_call_can_fail(watched: Watched, tmp_path: Path) -> None:
    script = """
        import os
        file = os.open("data", os.O_WRONLY | os.O_CREAT)
        try:
            os.write(file, b"lost")
        except OSError as error:
            os.write(file, b"%d" % error.errno)
    """
    _, code = watched(script, at(2, Fail(errno.ENOSPC)))
    assert code == 0
    assert (tmp_path / "data").read_bytes() == b"%d" % errno.ENOSPC


def test_a_datagram_can_get_lost_and_other_sockets_do_not_count(watched: Watched) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        script = f"""
            import socket
            one, other = socket.socketpair()
            one.send(b"does not count")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for number in range(3):
                    assert sender.sendto(b"%d" % number, ("127.0.0.1", {receiver.getsockname()[1]})) == 1
        """
        warden, code = watched(script, at(2, Drop()), SENDS)
        assert code == 0
        assert [call.where for call in warden.calls] == ["udp"] * 3
        assert [receiver.recv(9), receiver.recv(9)] == [b"0", b"2"]


def test_a_process_can_be_stopped_and_goes_on(watched: Watched, tmp_path: Path) -> None:
    warden, code = watched(WRITES, at(4, Pause(0.05)))
    assert code == 0
    assert warden.continued.is_set()
    assert (tmp_path / "done").read_bytes() == b"01234"


def test_nothing_counts_before_it_is_armed(tmp_path: Path) -> None:
    script = f"""
        import os
        os.chdir({str(tmp_path)!r})
        os.mkdir("before")
        while not os.path.exists("armed"):
            pass
        os.mkdir("counted")
    """
    warden = Warden([sys.executable, "-c", textwrap.dedent(script)], tmp_path / "log")
    try:
        while not (tmp_path / "before").exists():
            assert warden.process.poll() is None
        warden.arm(let_all_pass, DISK)
        (tmp_path / "armed").touch()
        assert warden.wait() == 0
        assert [call.where for call in warden.calls] == ["counted"]
    finally:
        warden.kill()


@pytest.mark.parametrize(("point", "left"), [(3, b""), (4, b"0"), (5, b"0"), (6, b"01")])
def test_a_power_cut_takes_what_was_not_synced(watched: Watched, tmp_path: Path, point: int, left: bytes) -> None:
    _, code = watched(WRITES, at(point, CutPower()), follow_syncs=True)
    assert code == -signal.SIGKILL
    assert (tmp_path / "data").read_bytes() == left


def test_a_power_cut_empties_a_file_that_was_renamed_without_a_sync(watched: Watched, tmp_path: Path) -> None:
    script = """
        import os
        file = os.open("draft", os.O_WRONLY | os.O_CREAT)
        os.write(file, b"data")
        os.rename("draft", "done")
        os.mkdir("later")
    """
    _, code = watched(script, at(4, CutPower()), follow_syncs=True)
    assert code == -signal.SIGKILL
    assert (tmp_path / "done").read_bytes() == b""
