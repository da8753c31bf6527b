# SPDX-License-Identifier: Apache-2.0
"""agent.profile: every moment belongs to one stage, and the bottleneck is what most of them were waited for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.agent.profile import Ledger, Limit, Profile, Spent, Stage
from p2p_handoff.agent.report import Report
from p2p_handoff.content.digests import digest
from tests.agent.devices import Devices, Pair, fill


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
        (profile(person=(500, 0)), None),
        (profile(), None),
    ],
)
def test_the_bottleneck_is_what_most_time_was_waited_for(taken: Profile, limit: Limit | None) -> None:
    assert taken.bottleneck is limit


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


async def test_a_target_tells_where_its_time_went(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], title="project")
    report = await desktop.take("project", peer="laptop")
    stages = told(report)
    assert {"arrival", "stage", "seal", "place", "peer"} <= set(stages)
    assert not {"picture", "send", "credit"} & set(stages), "that is the source's"
