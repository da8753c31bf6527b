# SPDX-License-Identifier: Apache-2.0
"""Cables pulled and agents killed in the middle of a handoff: docs/specs/handoff-v2.md §8."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from p2p_handoff.limits import CREDIT_WINDOW
from tests.network.peer import Devices, Peer, until
from tests.network.trees import MIB, assert_same, mixed, random_file

pytestmark = pytest.mark.network

Cut = Callable[[Peer, Peer, bool], None]


def pull_the_cable(_source: Peer, target: Peer, open_again: bool) -> None:
    target.host.set_link("eth0", up=open_again)


def drop_in_the_firewall(source: Peer, target: Peer, open_again: bool) -> None:
    for host, other in ((source.host, target.host), (target.host, source.host)):
        (host.accept_from if open_again else host.drop_from)(other.address)


def owners(*peers: Peer) -> list[str]:
    """Who is primary, as each device sees it that is."""
    return [peer.name for peer in peers if peer.session("work")["role"] == "primary"]


@pytest.mark.parametrize(
    ("engine", "size", "cut"), [("wrtc", 48 * MIB, pull_the_cable), ("aiortc", 16 * MIB, drop_in_the_firewall)]
)
def test_a_handoff_goes_on_after_a_break_where_it_was(devices: Devices, engine: str, size: int, cut: Cut) -> None:
    laptop, desktop = devices.linked("--engine", engine)
    limit_rate(laptop, megabits=160)
    folder = random_file(laptop.user / "work" / "model.bin", size).parent
    laptop.ask("start", str(folder))
    watching, pushing = laptop.events(), laptop.begin("to", "desktop", "work")
    pushing.wait("progress", lambda event: event["bytes"] > size // 4)
    cut(laptop, desktop, False)
    watching.wait("disconnected")
    cut(laptop, desktop, True)
    report = pushing.answer().done()
    assert report["outcome"] == "done"
    assert_only_what_was_on_its_way_was_sent_again(report["sent_bytes"], size)
    assert_same(folder, desktop.user / "Handoff" / "work")


@pytest.mark.parametrize("engine", ["wrtc", "aiortc"])
def test_a_target_that_is_killed_in_the_middle_goes_on_where_it_was(devices: Devices, engine: str) -> None:
    laptop, desktop = devices.linked("--engine", engine)
    limit_rate(laptop, megabits=160)
    size = 16 * MIB
    folder = random_file(laptop.user / "work" / "model.bin", size).parent
    laptop.ask("start", str(folder))
    pushing = laptop.begin("to", "desktop", "work")
    pushing.wait("progress", lambda event: event["bytes"] > size // 2)
    desktop.kill_agent()
    desktop.start_agent()
    report = pushing.answer().done()
    assert report["outcome"] == "done"
    assert_only_what_was_on_its_way_was_sent_again(report["sent_bytes"], size)
    assert owners(laptop, desktop) == ["desktop"]
    assert_same(folder, desktop.user / "Handoff" / "work")


def frozen_source(devices: Devices) -> tuple[Peer, Peer, Path]:
    """A source that froze and then died, and a target that was suspended before the grant could reach it."""
    laptop, desktop = devices.linked()
    folder = mixed(laptop.user / "work", small=2000, large=MIB)
    laptop.ask("start", str(folder))
    pushing = laptop.begin("to", "desktop", "work")
    pushing.wait("frozen")
    desktop.agent.send_signal(signal.SIGSTOP)
    until(lambda: laptop.session("work")["role"] == "frozen", 10, "the source is frozen")
    laptop.kill_agent()
    assert pushing.answer().exit_code == 4
    return laptop, desktop, folder


def test_a_source_that_died_frozen_learns_what_the_target_decided(devices: Devices) -> None:
    laptop, desktop, folder = frozen_source(devices)
    desktop.host.set_link("eth0", up=False)
    laptop.start_agent()
    doubt = laptop.run("recover", "--wait", "0.2")
    assert doubt.exit_code == 8
    assert [item["title"] for item in doubt.result["in_doubt"]] == ["work"]
    # What the target does with a grant that waited in its socket is its own decision: both answers are right.
    desktop.agent.send_signal(signal.SIGCONT)
    desktop.host.set_link("eth0", up=True)
    assert laptop.run("recover", "--wait", "30").done()["resolved"]
    (owner,) = owners(laptop, desktop)
    if owner == "desktop":
        assert_same(folder, desktop.user / "Handoff" / "work")
    assert (folder / "large.bin").stat().st_size == MIB


def test_a_source_that_died_frozen_is_primary_again_when_the_target_forgot(devices: Devices) -> None:
    laptop, desktop, _ = frozen_source(devices)
    desktop.kill_agent()
    laptop.start_agent()
    assert laptop.run("recover", "--wait", "0.2").exit_code == 8
    desktop.start_agent()
    assert laptop.run("recover", "--wait", "30").done()["resolved"]
    assert laptop.session("work")["role"] == "primary"
    report = laptop.hand_over("work", desktop)
    assert report["epoch"] == 2
    assert owners(laptop, desktop) == ["desktop"]


def assert_only_what_was_on_its_way_was_sent_again(sent: int, size: int) -> None:
    """What was staged counts; what was on its way, at most one window of credit, went down with the connection."""
    assert size < sent < size + CREDIT_WINDOW + MIB


def limit_rate(peer: Peer, *, megabits: int) -> None:
    """Make its cable slow, so that there is a middle to break."""
    shaped = ["root", "tbf", "rate", f"{megabits}mbit", "burst", "64kb", "latency", "50ms"]
    peer.host.run(["tc", "qdisc", "replace", "dev", "eth0", *shaped])
