# SPDX-License-Identifier: Apache-2.0
"""Runs a seed: which kind of story it is, and how it ended. The same seed gives the same run, line by line."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from p2p_handoff.testing.link import Conditions
from p2p_handoff.testing.simulation import Simulation
from tests.simulate.past import ForkStory, RestoredStory, UndoStory
from tests.simulate.story import DAY, Result, Story

KINDS: Final[Mapping[type[Story], int]] = {Story: 79, ForkStory: 8, UndoStory: 7, RestoredStory: 6}
"""What runs are about, and how often."""


def run(seed: int, root: Path | None = None) -> Result:
    """Run a seed; never raises for what the agents do."""
    result = Result(seed)
    kind = random.Random(f"{seed} kind").choices(tuple(KINDS), tuple(KINDS.values()))[0]
    result.kind = kind.__name__
    source = random.Random(seed)
    conditions = Conditions(loss=source.choice((0.0, 0.0, 0.02, 0.1)), silent_cuts=source.choice((0.0, 0.5, 1.0)))
    simulation = Simulation(seed, conditions, root)
    try:
        simulation.run(kind(simulation, source, result).tell(), seconds=DAY * 30)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's result
        result.failure = f"{type(error).__name__}: {error}"
    finally:
        result.digest, result.trace = simulation.trace.digest(), simulation.trace.text()
        simulation.close()
    return result
