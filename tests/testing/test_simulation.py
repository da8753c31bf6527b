# SPDX-License-Identifier: Apache-2.0
"""The same seed gives the same run, line by line; what nobody handled fails it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2p_handoff.testing.link import Conditions
from p2p_handoff.testing.simulation import Simulation

_SCRIPT = "import sys; from tests.simulate.run import run; print(*(run(int(seed)).digest for seed in sys.argv[1:]))"


def story(seed: int) -> str:
    """The trace of a run with a lossy link, a cut and a crash."""
    with Simulation(seed, Conditions(loss=0.1)) as simulation:
        laptop, desktop = simulation.devices("laptop", "desktop")

        async def tell() -> None:
            for device in (laptop, desktop):
                await device.start()
            laptop.write(laptop.things / "chat.jsonl", b"{}\n" * 100)
            record = await laptop.begin(laptop.things / "chat.jsonl")
            simulation.link(laptop, desktop).cut_at_message(12)
            assert (await laptop.to(desktop, record.id)).outcome == "done"
            desktop.crash()
            await desktop.start()
            await asyncio.sleep(5)  # until the old connection is found dead
            await laptop.take(record.id, desktop)

        simulation.run(tell())
        return simulation.trace.text()


def test_a_seed_is_a_run() -> None:
    assert story(1) == story(1)
    assert story(1) != story(2)


@pytest.mark.slow
def test_a_seed_is_a_run_in_another_process_as_well() -> None:
    root = Path(__file__).resolve().parents[2]

    def digests(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", _SCRIPT, *map(str, range(2))]
        return subprocess.run(command, capture_output=True, check=True, text=True, cwd=root, env=environment).stdout

    assert digests("1") == digests("2")


def test_an_error_that_nobody_handles_fails_the_run() -> None:
    with Simulation() as simulation:

        async def tell() -> None:
            simulation.loop.call_soon(lambda: 1 // 0)
            await asyncio.sleep(1)

        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            simulation.run(tell())


def test_a_run_has_an_end() -> None:
    with Simulation() as simulation, pytest.raises(TimeoutError):
        simulation.run(asyncio.sleep(100), seconds=10)


def test_temporary_homes_are_removed_and_given_ones_kept(tmp_path: Path) -> None:
    with Simulation(root=tmp_path) as kept:
        kept.devices("laptop")
    assert (tmp_path / "laptop" / "home" / "identity").is_file()
    with Simulation() as simulation:
        [laptop] = simulation.devices("laptop")
    assert not laptop.root.exists()
