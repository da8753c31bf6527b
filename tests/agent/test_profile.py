# SPDX-License-Identifier: Apache-2.0
"""agent.profile: every moment belongs to one stage, and the bottleneck is what most of them were waited for."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.adapters.base import Reused
from p2p_handoff.agent.profile import Ledger, Limit, Profile, Spent, Stage, tally_of
from p2p_handoff.agent.profile import told as told_by
from p2p_handoff.agent.report import Report
from p2p_handoff.content.digests import digest
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol.messages import Tally
from tests.agent.devices import Devices, Pair, event, fill
from tests.protocol.grants import TXN


class Clock:
    """Two clocks that are set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.computed = 0.0

    def ledger(self) -> Ledger:
        return Ledger(lambda: self.now, lambda: self.computed)

    def pass_(self, seconds: float, cpu: float = 0.0) -> None:
        self.now += seconds
        self.computed += cpu


def spent(ledger: Ledger) -> dict[Stage, float]:
    return {stage: taken.seconds for stage, taken in ledger.profile().stages.items()}


def test_what_nobody_waits_for_is_everything_else() -> None:
    clock = Clock()
    ledger = clock.ledger()
    clock.pass_(2)
    assert spent(ledger) == {Stage.OTHER: 2}


def test_of_two_that_are_waited_for_the_first_counts() -> None:
    clock = Clock()
    ledger = clock.ledger()
    with ledger.waiting(Stage.PEER):
        clock.pass_(1)
        with ledger.waiting(Stage.READ):
            clock.pass_(2)
        clock.pass_(4)
    clock.pass_(8)
    assert spent(ledger) == {Stage.READ: 2, Stage.PEER: 5, Stage.OTHER: 8}


def test_what_turns_out_to_be_another_stage_is_shifted_with_its_share_of_the_processor() -> None:
    clock = Clock()
    ledger = clock.ledger()
    with ledger.waiting(Stage.SEND):
        clock.pass_(4, cpu=2)
    ledger.shift(Stage.SEND, Stage.QUEUE, 3)
    assert ledger.profile().stages == {Stage.SEND: Spent(1, 0.5), Stage.QUEUE: Spent(3, 1.5)}


@given(st.lists(st.tuples(st.sampled_from(Stage), st.booleans(), st.floats(0, 100)), max_size=40))
def test_the_stages_add_up_to_the_whole(steps: list[tuple[Stage, bool, float]]) -> None:
    clock = Clock()
    ledger = clock.ledger()
    for stage, begins, seconds in steps:
        (ledger.begin if begins else ledger.end)(stage)
        clock.pass_(seconds)
        ledger.shift(stage, Stage.QUEUE, seconds / 2)
    assert sum(spent(ledger).values()) == pytest.approx(clock.now)


def profile(**stages: tuple[float, float]) -> Profile:
    return Profile({Stage(name): Spent(*taken) for name, taken in stages.items()})


def told_by_peer(limit: Limit) -> Profile:
    """A target that waits for content, and was told what its source waited for most."""
    return replace(profile(arrival=(5, 1), stage=(2, 0)), peer={Limit.CPU: 0.1, limit: 3.0})


@pytest.mark.parametrize(
    ("taken", "limit"),
    [
        (profile(read=(3, 0.1), queue=(2, 0.1)), Limit.DISK),
        (profile(read=(3, 2.9), queue=(2, 0.1)), Limit.CPU),
        (profile(queue=(3, 0.5), pack=(2, 2)), Limit.NETWORK),
        (profile(queue=(3, 2.9), read=(4, 0.5)), Limit.DISK),
        (profile(queue=(3, 2.9), read=(4, 0.5), pack=(2, 2)), Limit.CPU),
        (profile(credit=(2, 2), peer=(2, 2), read=(3, 0)), Limit.PEER),
        (profile(arrival=(5, 1), stage=(2, 0)), Limit.PEER_OR_NETWORK),
        (profile(person=(500, 0), read=(1, 0)), Limit.DISK),
        (told_by_peer(Limit.NETWORK), Limit.NETWORK),
        (told_by_peer(Limit.DISK), Limit.PEER),
        (profile(person=(500, 0)), None),
        (profile(), None),
    ],
)
def test_the_bottleneck_is_what_most_time_was_waited_for(taken: Profile, limit: Limit | None) -> None:
    assert taken.bottleneck is limit


def test_what_is_told_of_this_device_is_its_own_share_in_milliseconds() -> None:
    taken = profile(read=(1.5, 0.1), pack=(0.25, 0.2), queue=(2, 0.1), peer=(9, 0))
    tally = tally_of(taken, TXN, Reused(7, 70))
    assert tally == Tally(TXN, disk=1500, cpu=250, network=2000, reused_chunks=7, reused_bytes=70)
    assert told_by(tally) == {Limit.DISK: 1.5, Limit.CPU: 0.25, Limit.NETWORK: 2.0}


# --- of real handoffs -------------------------------------------------------------------------------


def told(report: Report) -> dict[str, float]:
    return {item["stage"]: item["seconds"] for item in report.as_json()["profile"]["stages"]}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop, of 3 MB that do not compress."""
    noise = b"".join(digest(number.to_bytes(4, "big")) for number in range(100_000))
    return fill(devices.path("laptop", "project"), {"noise": noise, "text": b"text " * 1000})


async def test_a_source_tells_where_its_time_went(two_agents: Pair, folder: Path) -> None:
    report = await two_agents.laptop.to("desktop", folder)
    stages = told(report)
    assert {"picture", "connect", "peer", "send"} <= set(stages)
    assert not {"stage", "seal", "place", "person"} & set(stages), "that is the target's"
    assert report.as_json()["profile"]["bottleneck"]
    assert report.profile.peer_limit is not None, "the target has told of itself"


async def test_a_target_tells_where_its_time_went(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], title="project")
    report = await desktop.take("project", peer="laptop")
    stages = told(report)
    assert {"arrival", "stage", "seal", "place", "peer"} <= set(stages)
    assert not {"picture", "send", "credit"} & set(stages), "that is the source's"
    assert report.profile.peer_limit is not None, "the source has told of itself"
    assert report.profile.bottleneck is not Limit.PEER_OR_NETWORK


async def test_what_the_target_has_already_is_counted_on_both_sides(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    first = await laptop.to("desktop", folder)
    assert (first.reused_chunks, first.reused_bytes) == (0, 0)
    there = Path(desktop.catalog.bindings(SessionId(first.session))[0].path or "")
    size = (there / "noise").stat().st_size
    shutil.copyfile(there / "noise", there / "copy of noise")
    arrived = asyncio.create_task(event(laptop, "handoff", 60))
    back = await desktop.to("laptop", there)
    here = await arrived
    assert back.reused_chunks > 1
    assert back.reused_bytes == size
    assert (here["reused_chunks"], here["reused_bytes"]) == (back.reused_chunks, back.reused_bytes)
    assert back.sent_bytes < size / 10
