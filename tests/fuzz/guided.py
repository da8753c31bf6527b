# SPDX-License-Identifier: Apache-2.0
"""The process that runs one target under atheris: libFuzzer, guided by the coverage of this project's Python code.

Arguments: the target's name, then libFuzzer's own. Mutants come from libFuzzer and from ``tests.fuzz.mutation``.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable
from typing import Any

import atheris


def main() -> None:
    """Run it; libFuzzer ends the process."""
    with atheris.instrument_imports(include=["p2p_handoff", "signaling"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - what is imported before is not instrumented
    from tests.fuzz.corpus import inputs  # noqa: PLC0415
    from tests.fuzz.mutation import mutate  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    target = TARGETS[sys.argv[1]]
    pool = inputs(target)

    def mutator(data: bytes, limit: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            mutant: bytes = atheris.Mutate(data, limit)
            return mutant
        return mutate(rng, target.shape, data, pool, limit)

    run: Callable[[bytes], Any] = target.run
    atheris.Setup([sys.argv[0], *sys.argv[2:]], run, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
