# SPDX-License-Identifier: Apache-2.0
"""The project's own fuzzer: seeded mutation of a pool that good mutants join. The same seed makes the same inputs."""

from __future__ import annotations

import faulthandler
import random
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.corpus import inputs
from tests.fuzz.mutation import mutate
from tests.fuzz.target import Target

HANG: Final = 60.0
"""Seconds of a batch without an end after which the process ends itself and shows where it hung."""
_BATCH: Final = 512
_POOL: Final = 1_000
_JOIN: Final = 0.02
"""Share of the taken mutants that join the pool."""


@dataclass(slots=True)
class Run:
    """What a run of one target came to."""

    target: str
    executions: int = 0
    taken: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    """Seconds of CPU of the slowest input."""
    slowest_input: bytes = b""
    grown_kib: int = 0
    """Growth of the peak of resident memory."""
    findings: list[tuple[bytes, str]] = field(default_factory=list)
    """Input and error."""


def fuzz(target: Target, executions: int, seed: int, about_to: Callable[[bytes], None] = lambda _: None) -> Run:
    """Run a target's seeds and then mutants of them.

    Args:
        target: What to run.
        executions: How many inputs, seeds included; a finding ends the run.
        seed: Chooses the mutants.
        about_to: Told every input before it runs: whoever watches knows what killed the process.
    """
    rng = random.Random(f"{target.name} {seed}")
    seeds = inputs(target)
    pool = list(seeds)
    run = Run(target.name)
    began, memory = time.monotonic(), _peak()
    for number in range(executions):
        if number % _BATCH == 0:
            faulthandler.dump_traceback_later(HANG, exit=True)
        fresh = number >= len(seeds)
        data = mutate(rng, target.shape, rng.choice(pool), pool, target.max_bytes) if fresh else seeds[number]
        about_to(data)
        taken = _one(target, data, run)
        if taken is None:
            break
        if taken and fresh and rng.random() < _JOIN:
            _join(rng, pool, data, len(seeds))
        if number == len(seeds):
            memory = _peak()
    faulthandler.cancel_dump_traceback_later()
    run.seconds, run.grown_kib = time.monotonic() - began, _peak() - memory
    return run


def _join(rng: random.Random, pool: list[bytes], data: bytes, seeds: int) -> None:
    if len(pool) < seeds + _POOL:
        pool.append(data)
    else:
        pool[seeds + rng.randrange(_POOL)] = data


def _one(target: Target, data: bytes, run: Run) -> bool | None:
    """Run one input; None where it broke a promise."""
    began = time.process_time()
    try:
        taken = target.run(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of a native library is no Exception
        run.findings.append((data, f"{type(error).__name__}: {error}"))
        return None
    used = time.process_time() - began
    if used > run.slowest:
        run.slowest, run.slowest_input = used, data
    run.executions += 1
    run.taken += taken
    return taken


def _peak() -> int:
    """The process's peak of resident memory, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
