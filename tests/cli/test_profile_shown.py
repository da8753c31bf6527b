# SPDX-License-Identifier: Apache-2.0
"""What ``--profile`` prints."""

from __future__ import annotations

from typing import Any

import pytest

from p2p_handoff.agent.profile import Limit, Stage
from p2p_handoff.cli import profile_shown
from p2p_handoff.cli.profile_shown import lines


def stage(name: str, seconds: float, limit: str) -> dict[str, Any]:
    return {"stage": name, "seconds": seconds, "cpu": 0.0, "limit": limit}


def test_the_bottleneck_comes_first_and_then_the_longest_stage() -> None:
    stages = [stage("read", 1.0, "disk"), stage("queue", 3.0, "network"), stage("other", 0.001, "cpu")]
    assert list(lines({"bottleneck": "network", "peer_bottleneck": "disk", "stages": stages})) == [
        "bottleneck: the network",
        "    3.000 s   75%  the connection takes no more (the network)",
        "    1.000 s   25%  reading what is wanted (this device's disk)",
    ]


@pytest.mark.parametrize(("theirs", "words"), [("disk", " (its disk)"), ("cpu", " (its processor)"), ("", "")])
def test_what_the_other_device_waited_for_is_told_where_it_was_the_bottleneck(theirs: str, words: str) -> None:
    stages = [stage("peer", 1.0, "peer")]
    told = lines({"bottleneck": "peer", "peer_bottleneck": theirs, "stages": stages})
    assert next(told) == f"bottleneck: the other device{words}"


def test_a_handoff_without_a_moment_has_no_bottleneck() -> None:
    assert list(lines({"bottleneck": "", "peer_bottleneck": "", "stages": []})) == ["nothing was waited for"]


def test_what_a_later_agent_tells_is_shown_as_it_is() -> None:
    told = list(lines({"bottleneck": "moon", "peer_bottleneck": "", "stages": [stage("tide", 1.0, "moon")]}))
    assert told == ["bottleneck: moon", "    1.000 s  100%  tide (moon)"]


@pytest.mark.parametrize(("words", "kind"), [(profile_shown._STAGES, Stage), (profile_shown._LIMITS, Limit)])
def test_everything_has_words(words: dict[str, str], kind: type[Stage | Limit]) -> None:
    assert set(words) == {item.value for item in kind}
