# SPDX-License-Identifier: Apache-2.0
"""A device that does not come back, is given up, and comes back after all: docs/specs/ownership.md §3."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.network.peer import Devices, Peer, until
from tests.network.trees import MIB, mixed

pytestmark = pytest.mark.network


def frozen(laptop: Peer, desktop: Peer) -> Path:
    """A folder that the laptop has granted; the desktop is suspended, and nothing that it says arrives any more."""
    folder = mixed(laptop.user / "work", small=500, large=MIB)
    laptop.ask("start", str(folder))
    pushing = laptop.begin("to", "desktop", "work")
    pushing.wait("frozen")
    desktop.agent.send_signal(signal.SIGSTOP)
    laptop.host.drop_from(desktop.host.address)
    until(lambda: laptop.session("work")["role"] == "frozen", 10, "the source is frozen")
    return folder


def fork_state(laptop: Peer) -> str:
    (fork,) = laptop.ask("history", "work")["forks"]
    return str(fork["state"])


def test_a_device_that_had_accepted_merges_the_fork_when_it_is_met_again(devices: Devices) -> None:
    laptop, desktop = devices.linked()
    folder = frozen(laptop, desktop)
    desktop.agent.send_signal(signal.SIGCONT)
    until(lambda: desktop.ask("sessions")["sessions"], 30, "the desktop has the session")
    received = desktop.user / "Handoff" / "work"
    until(received.exists, 30, "the session is in place on the desktop")
    answer = laptop.run("recover", "work", "--force")
    assert answer.done()["title"] == "work (fork)"
    assert laptop.session("work (fork)")["paths"] == [str(folder)]
    (folder / "both.txt").write_bytes(b"fork\n")
    (received / "both.txt").write_bytes(b"original\n")
    (folder / "fork.txt").write_bytes(b"only in the fork\n")
    laptop.host.accept_from(desktop.host.address)
    until(lambda: fork_state(laptop) == "merged", 60, "the fork is merged")
    assert (received / "fork.txt").read_bytes() == b"only in the fork\n"
    assert (received / "both.txt").read_bytes() == b"original\n"
    (copy,) = received.glob("both.conflict-laptop-*.txt")
    assert copy.read_bytes() == b"fork\n"
    assert (laptop.session("work")["role"], desktop.session("work")["role"]) == ("secondary", "primary")
    report = desktop.hand_over("work", laptop)
    assert report["epoch"] == 3
    assert (folder / "both.txt").read_bytes() == b"original\n"


def test_a_device_that_forgot_the_grant_gives_the_original_back_to_the_fork(devices: Devices) -> None:
    laptop, desktop = devices.linked()
    folder = frozen(laptop, desktop)
    desktop.kill_agent()
    assert laptop.run("recover", "work", "--force").done()["title"] == "work (fork)"
    (folder / "fork.txt").write_bytes(b"only in the fork\n")
    desktop.start_agent()
    laptop.host.accept_from(desktop.host.address)
    until(lambda: fork_state(laptop) == "rejoined", 60, "the original goes on")
    assert laptop.session("work")["role"] == "primary"
    assert laptop.session("work")["paths"] == [str(folder)]
    report = laptop.hand_over("work", desktop)
    assert report["epoch"] == 2
    assert (desktop.user / "Handoff" / "work" / "fork.txt").read_bytes() == b"only in the fork\n"
    answer = desktop.run("undo", "work")
    assert answer.exit_code == 4
