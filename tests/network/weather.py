# SPDX-License-Identifier: Apache-2.0
"""Scenarios of a link that is bad all the time: loss, delay, jitter, reordering, duplication, little room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.network.faults import Faults
from tests.network.peer import Answer
from tests.network.stage import Stage, slow
from tests.network.trees import KIB, MIB

Play = Callable[[Stage], Answer]
"""Plays a scenario until everything is well again; returns how the first command ended."""


def through(faults: Faults) -> Play:
    """A handoff through a link with these faults in both directions."""

    def play(stage: Stage) -> Answer:
        stage.on_one_network()
        stage.session()
        stage.laptop.host.cable.both(faults)
        first = stage.pushed()
        counts = stage.laptop.host.cable.set()
        assert_faulty(faults, counts["out"])
        return first

    return play


def assert_faulty(faults: Faults, counts: Mapping[str, int]) -> None:
    """The link did what it should: no scenario passes because the weather was fine."""
    assert not faults.loss or counts["lost"]
    assert not faults.reorder or counts["reordered"]
    assert not faults.duplicate or counts["duplicated"]


def dropped_by_the_kernel(share: float) -> Play:
    """Loss by netfilter on both hosts."""

    def play(stage: Stage) -> Answer:
        stage.on_one_network()
        stage.session()
        rule = ["-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP"]
        for peer in (stage.laptop, stage.desktop):
            peer.host.run(["iptables", "-w", "-A", "INPUT", "-i", "eth0", *rule])
        return stage.pushed()

    return play


def limited(megabits: float, size: int) -> Play:
    """A session of some bytes through a link of little room."""

    def play(stage: Stage) -> Answer:
        stage.on_one_network()
        stage.session(small=10, large=size)
        for peer in (stage.laptop, stage.desktop):
            slow(peer, megabits, buffer=max(16 * KIB, int(megabits * 2 * KIB)))
        return stage.pushed()

    return play


LOSSES: Final = {share: through(Faults(loss=share / 100)) for share in (0, 1, 5, 10, 20)}
BURSTS: Final = {share: through(Faults(loss=share / 100, burst=4)) for share in (5, 20)}
DELAYS: Final = {ms: through(Faults(delay=ms / 1000)) for ms in (20, 100, 300)}
RATES: Final = {1: limited(1, 256 * KIB), 10: limited(10, MIB), 100: limited(100, 4 * MIB)}
