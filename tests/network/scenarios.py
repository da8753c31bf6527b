# SPDX-License-Identifier: Apache-2.0
"""The table of network scenarios: what the network does, and how it must end. Written before they were played.

``./scripts/scenarios`` plays them all and prints the table; ``test_scenarios.py`` plays those of ``Scenario.quick``
with every commit, one of each family at least, and the others where ``-m`` asks for slow tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.network import nats, oddities, partitions, uplinks, weather
from tests.network.faults import Faults
from tests.network.lab import Lab
from tests.network.nats import Home, Stun
from tests.network.peer import Answer, Devices
from tests.network.stage import End, MomentMissedError, Stage

AIORTC: Final = ("aiortc",)
WRTC: Final = ("wrtc",)
BOTH: Final = ("aiortc", "wrtc")
TRIES: Final = 4
"""Attempts to cut at the right moment, each with twice the time of the one before."""
REACTION: Final = 0.3
"""Seconds that the test has for it at first."""
Play = Callable[[Stage], Answer]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: a scenario with one engine."""

    family: str
    name: str
    engine: str
    end: End
    play: Play
    quick: bool = False
    """Played with every commit."""

    @property
    def title(self) -> str:
        """Names it in tables and tests."""
        return f"{self.family}: {self.name} ({self.engine})"


def lacking(scenario: Scenario) -> str | None:
    """What this machine lacks for a scenario, beside what every laboratory needs."""
    if scenario.family == "clock" and oddities.faketime() is None:
        return "scenarios with a wrong clock need faketime"
    if "TURN" in scenario.name and nats.TURNSERVER is None:
        return "scenarios with a TURN server need coturn"
    return None


def run(scenario: Scenario, root: Path, seed: int = 0) -> Answer:
    """Play a scenario and judge it.

    Args:
        scenario: Which.
        root: Holds the devices' files.
        seed: Added to the one that its name gives.

    Raises:
        AssertionError: It did not end as the table says.
        MomentMissedError: It is one that cuts at a certain moment, and the test was too slow each time.
    """
    for attempt in range(TRIES):
        place = root / str(attempt)
        with Lab() as lab, Devices(lab, place) as devices:
            reaction = REACTION * 2**attempt
            stage = Stage(lab, devices, scenario.engine, scenario.title, seed=seed, reaction=reaction)
            try:
                first = scenario.play(stage)
            except MomentMissedError:
                continue
            stage.judge(scenario.end, first)
            return first
    raise MomentMissedError


def _rows(
    family: str, plays: dict[str, Play], end: End, engines: tuple[str, ...] = BOTH, quick: frozenset[str] = frozenset()
) -> list[Scenario]:
    """Scenarios of one end; ``quick`` names those of every commit, as ``name/engine``."""
    return [
        Scenario(family, name, engine, end, play, f"{name}/{engine}" in quick)
        for name, play in plays.items()
        for engine in engines
    ]


def _quick(*names: str) -> frozenset[str]:
    return frozenset(names)


SCENARIOS: Final = (
    *_rows(
        "loss",
        {f"{share} % of all packets": play for share, play in weather.LOSSES.items()},
        End.DONE,
        quick=_quick("5 % of all packets/wrtc", "20 % of all packets/aiortc"),
    ),
    *_rows("loss", {f"{share} % in bursts of four": play for share, play in weather.BURSTS.items()}, End.DONE),
    *_rows("loss", {"10 % dropped by netfilter": weather.dropped_by_the_kernel(0.1)}, End.DONE),
    *_rows("delay", {f"{ms} ms each way": play for ms, play in weather.DELAYS.items()}, End.DONE),
    *_rows(
        "delay",
        {
            "50 ms with 40 ms of jitter": weather.through(Faults(delay=0.05, jitter=0.04)),
            "a fifth of all packets is overtaken": weather.through(Faults(delay=0.02, reorder=0.2, late=0.03)),
            "a fifth of all packets comes twice": weather.through(Faults(duplicate=0.2)),
            "all of it at once": weather.through(
                Faults(loss=0.03, delay=0.03, jitter=0.02, reorder=0.05, duplicate=0.05)
            ),
        },
        End.DONE,
        quick=_quick("all of it at once/wrtc"),
    ),
    *_rows(
        "rate",
        {f"{megabits} Mbit/s and a small buffer": play for megabits, play in weather.RATES.items()},
        End.DONE,
        quick=_quick("1 Mbit/s and a small buffer/aiortc"),
    ),
    *_rows("partition", {"before the offer": partitions.before_the_offer}, End.DONE_NEXT_TIME, WRTC),
    *_rows("partition", {"while it is reviewed": partitions.while_reviewing}, End.DONE_AFTER_HEAL),
    *_rows(
        "partition",
        {
            "in the middle of copying": partitions.while_copying(partitions.both_ways),
            "copying, the source hears nothing": partitions.while_copying(partitions.source_hears_nothing),
            "copying, the target hears nothing": partitions.while_copying(partitions.target_hears_nothing),
        },
        End.DONE_AFTER_HEAL,
        quick=_quick("in the middle of copying/wrtc"),
    ),
    *_rows("partition", {"at the freeze": partitions.at_the_freeze}, End.DONE_AFTER_HEAL),
    *_rows("partition", {"after the grant, before the decision": partitions.after_the_grant}, End.DONE_AFTER_HEAL),
    *_rows(
        "partition",
        {"after the acceptance, before the release": partitions.after_the_acceptance},
        End.DONE_AFTER_HEAL,
        quick=_quick("after the acceptance, before the release/aiortc"),
    ),
    *_rows(
        "partition",
        {
            "the acceptance unheard for longer than the source waits": partitions.unheard_acceptance,
            "the grant unheard for longer than the source waits": partitions.unheard_grant,
        },
        End.IN_DOUBT_THEN_DONE,
        WRTC,
    ),
    *_rows(
        "partition",
        {"copying, for longer than the source waits": partitions.longer_than_the_source_waits},
        End.DONE_NEXT_TIME,
        WRTC,
    ),
    *_rows(
        "uplink",
        {
            "the source gets another address": uplinks.in_the_middle(uplinks.source_gets_another_address),
            "the target gets another address": uplinks.in_the_middle(uplinks.target_gets_another_address),
            "both go from IPv4 to IPv6": uplinks.in_the_middle(uplinks.both_go_from_ipv4_to_ipv6),
            "the source gets another interface": uplinks.in_the_middle(uplinks.source_gets_another_interface),
            "the target's link flaps": uplinks.in_the_middle(uplinks.link_flaps),
            "one of two interfaces is pulled": uplinks.two_interfaces_and_one_is_pulled,
        },
        End.DONE,
        quick=_quick("the target gets another address/wrtc"),
    ),
    *_rows(
        "translation",
        {
            "at the source, no STUN": nats.translated(Home.NAT, Home.PUBLIC, Stun.NONE),
            "at the target, no STUN": nats.translated(Home.PUBLIC, Home.NAT, Stun.NONE),
            "on both sides, with STUN": nats.translated(Home.NAT, Home.NAT),
            "symmetric at the source": nats.translated(Home.SYMMETRIC, Home.PUBLIC),
            "symmetric on both sides, with TURN": nats.translated(Home.SYMMETRIC, Home.SYMMETRIC, Stun.TURN),
            "the source's public address changes": nats.provider_changes_the_address,
            "none, and the STUN server is silent": nats.translated(Home.PUBLIC, Home.PUBLIC, Stun.SILENT),
        },
        End.DONE,
        quick=_quick("on both sides, with STUN/wrtc", "symmetric on both sides, with TURN/aiortc"),
    ),
    *_rows(
        "translation",
        {
            "on both sides, no STUN": nats.translated(Home.NAT, Home.NAT, Stun.NONE),
            "symmetric on both sides": nats.translated(Home.SYMMETRIC, Home.SYMMETRIC),
            "symmetric on one of both sides": nats.translated(Home.SYMMETRIC, Home.NAT),
        },
        End.UNREACHABLE,
        quick=_quick("symmetric on both sides/aiortc"),
    ),
    *_rows(
        "path",
        {
            "1,280 bytes, known to the devices": oddities.narrow_interfaces,
            "1,280 bytes, known to a router": oddities.narrow_router,
            "IPv6 alone": oddities.ipv6_alone(Faults()),
            "IPv6 alone, 5 % loss": oddities.ipv6_alone(Faults(loss=0.05)),
        },
        End.DONE,
        quick=_quick("1,280 bytes, known to a router/wrtc"),
    ),
    *_rows("path", {"1,280 bytes, known to nobody": oddities.black_hole}, End.DONE),
    *_rows(
        "relay",
        {"away while the connection breaks": oddities.relay_restarts},
        End.DONE_AFTER_HEAL,
        quick=_quick("away while the connection breaks/wrtc"),
    ),
    *_rows(
        "clock",
        {
            "the source is a day ahead": oddities.clock_is_off("laptop", "+1d"),
            "the target is a day behind": oddities.clock_is_off("desktop", "-1d"),
        },
        End.DONE,
        AIORTC,
        quick=_quick("the source is a day ahead/aiortc"),
    ),
    *_rows(
        "suspended",
        {"the target": oddities.stands_still("desktop"), "the source": oddities.stands_still("laptop")},
        End.DONE_AFTER_HEAL,
        quick=_quick("the target/wrtc"),
    ),
)
