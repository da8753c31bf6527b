# SPDX-License-Identifier: Apache-2.0
"""The bad cable does what it is told: what the scenarios blame on the network was done by the network."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from tests.network.faults import CUT, QUEUE_FRAMES, Direction, Faults
from tests.network.lab import Host, Lab

pytestmark = pytest.mark.network


def carried(faults: Faults, seed: int = 1, frames: int = 20_000) -> tuple[Direction, list[int]]:
    """What came out of a direction, by number, when a frame went in every millisecond."""
    way, out = Direction(seed), []
    way.faults = faults
    for number in range(frames):
        now = number / 1000
        way.take(number.to_bytes(4, "big"), now)
        out += [int.from_bytes(frame, "big") for frame in way.due(now)]
    out += [int.from_bytes(frame, "big") for frame in way.due(float("inf"))]
    return way, out


def test_a_seed_repeats_every_decision_and_another_one_does_not() -> None:
    faults = Faults(loss=0.1, delay=0.05, jitter=0.02, reorder=0.1, duplicate=0.05)
    assert carried(faults, seed=1)[1] == carried(faults, seed=1)[1] != carried(faults, seed=2)[1]


@pytest.mark.parametrize("burst", [1.0, 8.0])
def test_the_share_that_is_lost_is_the_one_that_was_asked_for_alone_or_in_bursts(burst: float) -> None:
    way, out = carried(Faults(loss=0.2, burst=burst))
    assert 0.17 < way.counts.lost / way.counts.taken < 0.23
    assert len(out) == way.counts.taken - way.counts.lost == way.counts.delivered
    gaps = sum(1 for before, after in pairwise(out) if after != before + 1)
    assert abs(way.counts.lost / gaps - (1.25 if burst == 1 else burst)) < 1


def test_jitter_keeps_the_order_and_reordering_does_not() -> None:
    _, steady = carried(Faults(delay=0.05, jitter=0.04))
    assert steady == list(range(20_000))
    way, mixed = carried(Faults(delay=0.05, reorder=0.1))
    assert sorted(mixed) == steady != mixed
    assert 1_700 < way.counts.reordered < 2_300


def test_what_is_duplicated_comes_twice_and_nothing_else() -> None:
    way, out = carried(Faults(duplicate=0.1))
    assert len(out) - len(set(out)) == way.counts.duplicated > 1_700


def test_the_queue_is_bounded_and_can_be_purged() -> None:
    way = Direction(1)
    way.faults = Faults(delay=60)
    for _ in range(QUEUE_FRAMES + 10):
        way.take(b"frame", 0.0)
    assert way.counts.overflowed == 10
    way.purge()
    assert way.next_due() is None
    assert way.counts.lost == QUEUE_FRAMES


ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 4711)); print("ready", flush=True)
while True: s.sendto(*s.recvfrom(99))
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.connect((sys.argv[1], 4711))
heard = set()
for number in range(20): s.send(bytes([number]))
try:
    while len(heard) < 20: heard |= set(s.recv(99))
except TimeoutError: pass
print(len(heard))
"""


def answered(host: Host, address: str) -> int:
    """How many of twenty datagrams were echoed."""
    return int(host.run([sys.executable, "-S", "-c", ASK, address]))


def test_a_bad_cable_carries_frames_until_it_is_cut_in_one_direction_or_both(lab: Lab) -> None:
    net = lab.bridge("net")
    left, right = lab.host("left", bridge=net, seed=7), lab.host("right", bridge=net)
    echo = right.popen([sys.executable, "-S", "-c", ECHO], stdout=subprocess.PIPE, text=True)
    assert echo.stdout is not None
    assert echo.stdout.readline() == "ready\n"
    assert answered(left, right.address) == 20
    left.cable.set(inward=CUT)
    assert answered(left, right.address) == 0
    counts = left.cable.set(inward=Faults())
    assert counts["out"]["delivered"] >= 40
    assert counts["in"]["lost"] >= 20
    left.cable.cut()
    assert answered(left, right.address) == 0
    left.cable.both(Faults(delay=0.05))
    assert answered(left, right.address) == 20


def test_a_cable_ends_when_the_test_lets_go_of_it(lab: Lab) -> None:
    host = lab.host("host", bridge=lab.bridge("net"), seed=7)
    assert host.interfaces() == ["eth0"]
    host.cables.pop("eth0").close()
    assert host.interfaces() == []
