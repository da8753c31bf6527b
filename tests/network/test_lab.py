# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network import conftest
from tests.network.lab import COMMAND_DEADLINE, PREFIX, Lab, LabError, sweep
from tests.network.peer import until

pytestmark = pytest.mark.network

SERVE = "import socket; s = socket.create_server(('', 4711)); print('ready', flush=True)\nwhile True: s.accept()"


def namespaces(owner: str) -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.startswith(owner)]


def test_hosts_on_one_bridge_reach_each_other_and_no_other_bridge(lab: Lab) -> None:
    net = lab.bridge("net")
    left, right, far = (
        lab.host("left", bridge=net),
        lab.host("right", bridge=net),
        lab.host("far", bridge=lab.bridge("b")),
    )
    for host in (right, far):
        server = host.popen([sys.executable, "-S", "-c", SERVE], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
    assert left.reaches(right.address, 4711)
    assert not left.reaches(far.address, 4711)


def test_a_router_joins_two_bridges_and_a_relay_on_a_third_is_reached_from_both(lab: Lab) -> None:
    home, office, cloud = lab.bridge("home"), lab.bridge("office"), lab.bridge("cloud")
    left, right, relay = (
        lab.host("left", bridge=home),
        lab.host("right", bridge=office),
        lab.host("relay", bridge=cloud),
    )
    lab.router("router", home, office, cloud)
    server = relay.popen([sys.executable, "-S", "-c", SERVE], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    assert left.reaches(relay.address, 4711)
    assert right.reaches(relay.address, 4711)


def test_a_partition_and_a_pulled_cable_cut_a_host_off_until_they_heal(lab: Lab) -> None:
    net = lab.bridge("net")
    left, right = lab.host("left", bridge=net), lab.host("right", bridge=net)
    server = right.popen([sys.executable, "-S", "-c", SERVE], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    right.drop_from(left.address)
    assert not left.reaches(right.address, 4711, patience=0.3)
    right.accept_from(left.address)
    assert left.reaches(right.address, 4711)
    left.set_link("eth0", up=False)
    assert not left.reaches(right.address, 4711, patience=0.3)
    left.set_link("eth0", up=True)
    assert left.reaches(right.address, 4711)


def test_nothing_is_left_after_a_failure() -> None:
    owner = f"{PREFIX}-{os.getpid()}-"
    with pytest.raises(ZeroDivisionError), Lab() as lab:  # noqa: PT012 - the failure is to come from inside
        sleeper = lab.host("host", bridge=lab.bridge("net")).popen(["sleep", "60"])
        assert len(namespaces(owner)) == 2
        raise ZeroDivisionError
    assert sleeper.returncode == -signal.SIGKILL
    assert namespaces(owner) == []


def test_what_a_killed_run_left_behind_is_swept() -> None:
    script = (
        "from tests.network.lab import Lab; lab = Lab(); host = lab.host('orphan');"
        "print(host.popen(['sleep', '60']).pid, flush=True); input()"
    )
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        sleeper = int(run.stdout.readline())
        owner = f"{PREFIX}-{run.pid}-"
        assert len(namespaces(owner)) == 1
        assert [name for name in sweep() if name.startswith(owner)] == [], "a living run is left alone"
        assert len(namespaces(owner)) == 1
        run.kill()
    # Another test's laboratory may be sweeping as well.
    sweep()
    until(lambda: not namespaces(owner) or None, COMMAND_DEADLINE, "the namespaces of a dead run are gone")
    assert not Path(f"/proc/{sleeper}").exists() or "Z" in Path(f"/proc/{sleeper}/stat").read_text().split()[2]


def test_a_command_that_fails_says_which_and_why(lab: Lab) -> None:
    host = lab.host("host")
    with pytest.raises(LabError, match="exit 3: because"):
        host.run(["sh", "-c", "echo because >&2; exit 3"])
    assert host.run(["sh", "-c", "echo out; exit 3"], check=False) == "out\n"


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_laboratory_that_cannot_be_built_skips_and_fails_where_nobody_would_notice(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="needs root"):
        conftest.require("the network laboratory needs root")
