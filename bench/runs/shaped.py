# SPDX-License-Identifier: Apache-2.0
"""A link with delay, or with loss: ours beside the raw engine on the same link. Layer: bench. Root only."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from bench.data import random_file
from bench.figures import Figure, rounded
from bench.peers import raw
from bench.peers.base import PeerMissingError
from bench.places import shaped_pair
from bench.runs.handing_over import hand_over, warm_pair
from bench.sizes import human
from bench.stage import Stage
from tests.network.faults import Faults

DELAY: Final = "20 ms delay each way"
LOSS: Final = "1% loss each way"
_LINKS: Final = {DELAY: Faults(delay=0.020), LOSS: Faults(loss=0.01)}


def measure(stage: Stage, link: str) -> list[Figure]:
    """Figures of one engine.

    Args:
        stage: Its places are not used: the link needs hosts of its own.
        link: A key of the table.

    Raises:
        BenchError: A run failed.
        PeerMissingError: Without root there is no such link.
    """
    if not stage.places.left.namespace:
        raise PeerMissingError("a link with faults needs network namespaces")
    speeds: list[float] = []
    ours: list[float] = []
    with shaped_pair(_LINKS[link]) as places:
        here = replace(stage, places=places)
        size = here.sizes.shaped
        with warm_pair(here, here.scratch) as (left, right):
            for number in range(here.rounds):
                speeds.append(raw.channel(places, here.engine, size)["mb_per_second"])
                moved = hand_over(left, right, random_file.make(here.scratch / f"random {number}", size))
                ours.append(size / 1e6 / moved.wall)
    name = f"{stage.engine}: {human(size)} random file, {link}"
    return [Figure(name, "MB/s", rounded(ours), "raw channel", rounded(speeds))]


delay = partial(measure, link=DELAY)
loss = partial(measure, link=LOSS)
