# SPDX-License-Identifier: Apache-2.0
"""Real devices: an agent process with its own home each, and the real command to drive it. Layer: bench."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from platformdirs import user_cache_path

from bench.places import Pair, Place

HANDOFF: Final = str(Path(sys.executable).parent / "handoff")
PORTS: Final = (47801, 47802)
COMMAND_DEADLINE: Final = 1800.0
"""Seconds that one command may take: one that hangs ends the row. The slow engine needs minutes for ten GiB."""
_START_DEADLINE: Final = 60.0
_CACHE: Final = user_cache_path("p2p-handoff-bench") / "devices"
"""What agents of one user share; kept between runs."""


class BenchError(Exception):
    """A command under measurement failed: there is no figure."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    result: dict[str, Any]
    """Its last line."""
    wall: float
    """Seconds of the whole process."""


class Device:
    """One device.

    Args:
        name: Its display name.
        place: Where it runs.
        root: Holds its home and what it receives.
        port: TCP port of its embedded relay.
        fresh: As if no agent had run on this machine before: what is built once for all agents of a user is not there.
    """

    def __init__(self, name: str, place: Place, root: Path, port: int, *, fresh: bool = False) -> None:
        self.name = name
        self.place = place
        self.port = port
        self.root = root
        self.home = root / "home"
        self._cache = root / "cache" if fresh else _CACHE
        self._agent: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True)
        config = f"receive_dir = {json.dumps(str(root / 'received'))}\n"
        (self.home / "config.toml").write_text(config, encoding="utf-8")
        self.home.chmod(0o700)

    def start(self, engine: str, other: Device) -> None:
        """Start the agent and wait until it answers."""
        options = ["--engine", engine, "--no-mdns", "--port", str(self.port)]
        options += ["--peer", f"{other.place.address}:{other.port}"]
        argv = [HANDOFF, "agent", "run", "--json", "--name", self.name, "--log-level", "info", *options]
        with (self.root / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                self.place.argv(argv), env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_DEADLINE
        while self._run(["agent", "status", "--json"]).returncode:
            if (ended := self._agent.poll()) is not None:
                raise BenchError(f"the agent of {self.name} ended with {ended}: {self.log()[-500:]}")
            if time.monotonic() > deadline:
                raise BenchError(f"the agent of {self.name} does not answer: {self.log()[-500:]}")

    def restart(self, engine: str, other: Device) -> None:
        """End the agent and start it again."""
        self.stop()
        self.start(engine, other)

    @property
    def pid(self) -> int:
        """The agent's process."""
        assert self._agent is not None
        return self._agent.pid

    def stop(self) -> None:
        """End the agent."""
        if self._agent is not None:
            self._agent.send_signal(signal.SIGCONT)
            self._agent.terminate()
            try:
                self._agent.wait(10)
            except subprocess.TimeoutExpired:
                self._agent.kill()
                self._agent.wait()
            self._agent = None

    def log(self) -> str:
        """What the agent logged."""
        return (self.root / "agent.log").read_text(errors="replace")

    def command(self, *args: str) -> Done:
        """Run a command to its end.

        Raises:
            BenchError: It failed.
        """
        began = time.perf_counter()
        done = self._run([*args, "--json"])
        wall = time.perf_counter() - began
        if done.returncode:
            raise BenchError(
                f"{args} of {self.name}: exit {done.returncode}: {done.stderr.strip()} {done.stdout[-500:]}"
            )
        return Done(json.loads(done.stdout.splitlines()[-1]), wall)

    def popen(self, *args: str) -> subprocess.Popen[str]:
        """A running command whose lines can be read."""
        return subprocess.Popen(
            self.place.argv([HANDOFF, *args, "--json"]),
            env=self._environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _run(self, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
        argv = self.place.argv([HANDOFF, *args])
        try:
            return subprocess.run(
                argv, env=self._environment(), capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{args} of {self.name} hangs; the end of its log: {self.log()[-1000:]}") from None

    def _environment(self) -> dict[str, str]:
        places = {"HANDOFF_HOME": self.home, "HOME": self.root, "XDG_CACHE_HOME": self._cache}
        return {**os.environ, **{name: str(place) for name, place in places.items()}}


@contextmanager
def running_pair(places: Pair, root: Path, engine: str, *, fresh: bool = False) -> Iterator[tuple[Device, Device]]:
    """Two linked devices whose agents run; both end with the block.

    Args:
        places: Where.
        root: An empty directory.
        engine: Of both.
        fresh: See ``Device``.
    """
    left = Device("left", places.left, root / "left", PORTS[0], fresh=fresh)
    right = Device("right", places.right, root / "right", PORTS[1], fresh=fresh)
    try:
        left.start(engine, right)
        right.start(engine, left)
        _link(left, right)
        yield left, right
    finally:
        left.stop()
        right.stop()


def _link(left: Device, right: Device) -> None:
    with left.popen("link", "--own") as opening:
        assert opening.stdout is not None
        code = json.loads(opening.stdout.readline())["code"]
        right.command("link", code, "--own")
        _, problem = opening.communicate(timeout=COMMAND_DEADLINE)
    if opening.returncode:
        raise BenchError(f"linking failed: {problem}")
