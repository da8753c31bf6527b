# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: ``async def test_x(two_devices): …`` on simulated network and clock. Layer: testing, public.

Installed with the package. Fixtures: ``simulation_seed``, ``simulation``, ``two_devices``, ``three_devices``. A test
that fails shows the end of its trace. Specification: docs/testing.md §1.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from p2p_handoff.testing.device import Device
    from p2p_handoff.testing.simulation import Simulation

_TRACE_LINES = 60


@pytest.fixture
def simulation_seed() -> int:
    """The seed of the simulation; parametrize it to try several."""
    return 0


@pytest.fixture
def simulation(simulation_seed: int) -> Iterator[Simulation]:
    """A simulation without devices; a test that is a coroutine function runs on its loop."""
    from p2p_handoff.testing.simulation import Simulation  # noqa: PLC0415 - pytest loads this module for everybody

    with Simulation(simulation_seed) as made:
        yield made


@pytest.fixture
def two_devices(simulation: Simulation) -> Sequence[Device]:
    """``laptop`` and ``desktop``: one person's, linked and running."""
    return _running(simulation, "laptop", "desktop")


@pytest.fixture
def three_devices(simulation: Simulation) -> Sequence[Device]:
    """``laptop``, ``desktop`` and ``phone``: one person's, linked and running."""
    return _running(simulation, "laptop", "desktop", "phone")


def _running(simulation: Simulation, *names: str) -> Sequence[Device]:
    devices = simulation.devices(*names)

    async def start() -> None:
        for device in devices:
            await device.start()

    simulation.run(start())
    return devices


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function that uses a simulation on that simulation's loop."""
    simulation: Simulation | None = pyfuncitem.funcargs.get("simulation")  # type: ignore[assignment]
    function = inspect.unwrap(pyfuncitem.obj)
    if simulation is None or not inspect.iscoroutinefunction(function):
        return None
    names: Sequence[str] = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001 - as pytest's own hook does
    simulation.run(function(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the end of the trace below a failure."""
    report: Any = yield
    simulation = getattr(item, "funcargs", {}).get("simulation")
    if report.when == "call" and report.failed and simulation is not None:
        title = f"simulation (seed {simulation.seed}), its last {_TRACE_LINES} lines"
        report.sections.append((title, simulation.trace.text(_TRACE_LINES)))
    return report
