# SPDX-License-Identifier: Apache-2.0
"""Measure dial to ready of an agent's wire: sealed signaling, connection, proof, greeting. Layer: bench.

    python -m bench.runs.dial --home HOME --engine wrtc --peer HOST:PORT --device ID --rounds 5

The agent on HOME must not run. Prints one JSON list of milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

from p2p_handoff.agent.agent import Agent
from p2p_handoff.ids import DeviceId
from p2p_handoff.settings.config import load


async def _dial(agent: Agent, device: DeviceId, rounds: int) -> list[float]:
    dialer = agent.parts.dialer
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        await dialer.connect(device)
        taken.append(round((time.perf_counter() - began) * 1000, 1))
        await dialer.hang_up(device, "measured")
    return taken


async def _run(options: argparse.Namespace) -> list[float]:
    settings = replace(load(options.home), engine=options.engine, mdns=False, peers=(options.peer,))
    async with Agent(options.home, settings=settings) as agent:
        return await _dial(agent, DeviceId(options.device), options.rounds)


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--peer", required=True, metavar="HOST:PORT")
    parser.add_argument("--device", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(asyncio.run(_run(parser.parse_args()))))


if __name__ == "__main__":
    main()
