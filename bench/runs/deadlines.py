# SPDX-License-Identifier: Apache-2.0
"""Times that are promised, beside the promise: dead peers, dead connection attempts, silent servers. Layer: bench."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

from bench.data import random_file
from bench.devices import BenchError, Device, running_pair
from bench.figures import Figure
from bench.places import Pair
from bench.stage import Stage
from p2p_handoff.engines.base import IceServer
from p2p_handoff.engines.choose import choose_engine
from p2p_handoff.errors import EngineError
from p2p_handoff.limits import GATHER_DEADLINE, ICE_DEADLINE, MIB, PEER_DEAD_AFTER

_PATIENCE = 30.0
_BYTES = 192 * MIB
"""Enough that a handoff is far from done when its peer dies."""
_AWAY = 6.0
"""Seconds that a target is stopped: twice what a silent one is given before the source dials again."""
_DOUBT = 2.0
"""Seconds promised (docs/specs/handoff-v2.md §8)."""
_ATTEMPTS = 3
"""A target that answers before the signal reaches it is tried again so many times."""


def measure(stage: Stage) -> list[Figure]:
    """Figures of one engine.

    Raises:
        BenchError: A promise is broken altogether: somebody waits forever.
    """
    places, engine, rounds, root = stage.places, stage.engine, stage.rounds, stage.scratch
    killed = dead_peer(places, root / "killed", engine, signal.SIGKILL)
    stopped = dead_peer(places, root / "stopped", engine, signal.SIGSTOP)
    doubt = resolved_doubt(places, root / "doubt", engine, rounds)
    return [killed, stopped, doubt, asyncio.run(dead_attempt(engine)), asyncio.run(silent_server(engine, rounds))]


def dead_peer(places: Pair, root: Path, engine: str, fault: signal.Signals) -> Figure:
    """Seconds until the source's agent says that its target is gone, hit in the middle of a transfer.

    Raises:
        BenchError: It never said so.
    """
    with running_pair(places, root, engine) as (left, right):
        folder = random_file.make(root / "random", _BYTES)
        taken = _until_noticed(left, right, folder, fault)
    return Figure(f"{engine}: dead peer noticed ({fault.name})", "s", (taken,), "promise", (PEER_DEAD_AFTER,))


def _until_noticed(left: Device, right: Device, folder: Path, fault: signal.Signals) -> float:
    with left.popen("events") as watching, left.popen("to", right.name, str(folder)) as moving:
        # A silent agent must not hold the measurement forever.
        guard = threading.Timer(_PATIENCE, watching.kill)
        guard.start()
        try:
            assert watching.stdout is not None
            hit = 0.0
            for line in watching.stdout:
                event = json.loads(line)
                if event.get("event") == "progress" and not hit:
                    os.kill(right.pid, fault)
                    hit = time.perf_counter()
                if event.get("event") == "disconnected" and hit:
                    return round(time.perf_counter() - hit, 2)
        finally:
            guard.cancel()
            moving.terminate()
            watching.terminate()
            moving.communicate()
    raise BenchError(f"nobody noticed {fault.name} within {_PATIENCE} s")


def resolved_doubt(places: Pair, root: Path, engine: str, rounds: int) -> Figure:
    """Seconds from the moment when a target can be reached again until a source in doubt knows its answer.

    The target is stopped when the source freezes, for so long that the connection is dead and the source dials.

    Raises:
        BenchError: It never came to a doubt, or the doubt was not resolved.
    """
    taken: list[float] = []
    with running_pair(places, root, engine) as (left, right):
        for attempt in range(_ATTEMPTS * rounds):
            folder = root / f"session-{attempt}"
            folder.mkdir()
            (folder / "file").write_bytes(os.urandom(MIB))
            seconds = _after_doubt(left, right, folder)
            taken += [] if seconds is None else [seconds]
            if len(taken) == rounds:
                return Figure(f"{engine}: doubt resolved once they meet", "s", tuple(taken), "promise", (_DOUBT,))
    raise BenchError("the target always answered before it could be stopped")


def _after_doubt(left: Device, right: Device, folder: Path) -> float | None:
    """The seconds; None when the target was faster than the signal that should have stopped it."""
    with left.popen("to", right.name, str(folder)) as moving:
        guard = threading.Timer(_PATIENCE, moving.kill)
        guard.start()
        met, in_doubt = 0.0, False
        try:
            assert moving.stdout is not None
            for line in moving.stdout:
                told = json.loads(line)
                if told.get("event") == "frozen":
                    os.kill(right.pid, signal.SIGSTOP)
                    time.sleep(_AWAY)
                    in_doubt = _is_in_doubt(left)
                    met = time.perf_counter()
                    os.kill(right.pid, signal.SIGCONT)
                elif told.get("event") == "released":
                    return round(time.perf_counter() - met, 2) if in_doubt else None
                elif "outcome" in told:
                    return None
        finally:
            guard.cancel()
            moving.communicate()
    raise BenchError(f"a doubt was not resolved within {_PATIENCE} s")


def _is_in_doubt(device: Device) -> bool:
    with device.popen("recover", "--wait", "0") as asking:
        answer, _ = asking.communicate(timeout=_PATIENCE)
    return bool(json.loads(answer)["in_doubt"])


async def dead_attempt(engine: str) -> Figure:
    """Seconds until a connection attempt ends whose answerer is gone."""
    dialling, answering = (choose_engine(engine).connection() for _ in range(2))
    answer = await answering.create_answer(await dialling.create_offer())
    await answering.close()
    began = time.perf_counter()
    await dialling.set_answer(answer)
    try:
        await dialling.wait_open()
    except EngineError:
        taken = round(time.perf_counter() - began, 2)
    else:
        raise BenchError("a closed connection answered")
    finally:
        await dialling.close()
    return Figure(f"{engine}: failed connection attempt ends", "s", (taken,), "promise", (ICE_DEADLINE,))


async def silent_server(engine: str, rounds: int) -> Figure:
    """Seconds that a STUN server costs which never answers: gathering with it less gathering without."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
        costs = tuple([round(await _gather(engine, server) - await _gather(engine), 3) for _ in range(rounds)])
    return Figure(f"{engine}: cost of a silent STUN server", "s", costs, "promise", (GATHER_DEADLINE,))


async def _gather(engine: str, *servers: IceServer) -> float:
    connection = choose_engine(engine).connection(servers)
    began = time.perf_counter()
    await connection.create_offer()
    taken = time.perf_counter() - began
    await connection.close()
    return taken
