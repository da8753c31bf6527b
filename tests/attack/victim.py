# SPDX-License-Identifier: Apache-2.0
"""A real agent in a process of its own, spoken to on its control socket, its memory and its event loop measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import HandoffError
from p2p_handoff.limits import KIB
from tests.attack.attack import MAX_GROWTH, MAX_STALL, hold

GAUGE: Final = Path(__file__).parent / "gauge"
START_PATIENCE: Final = 60.0
"""Seconds for an agent to answer."""
_POLL: Final = 0.02
_FIGURE: Final = struct.Struct("<d200s")
_RESET_PEAK: Final = "5"
"""Written to clear_refs it sets the peak of the memory to what is used now (proc(5))."""
_UNFORESEEN: Final = ("Traceback (most recent call last)", "nobody foresaw", "never retrieved", "never awaited")


@dataclass(slots=True)
class Load:
    """What an attack cost the agent."""

    growth: int = 0
    stall: float = 0.0
    step: str = ""
    """What ran in the longest step."""

    def check(self) -> None:
        """Raises BrokenError where a bound was passed."""
        hold(self.growth <= MAX_GROWTH, f"memory grew by {self.growth / KIB / KIB:.0f} MiB")
        hold(self.stall <= MAX_STALL, f"the event loop stood still for {1000 * self.stall:.0f} ms in {self.step}")


class Victim:
    """One agent.

    Args:
        home: Its home, which may exist.
        options: Of the agent, beside its home.
        environment: Beside this process's own.
        foreground: Whether it shows people what happens, in its log.
    """

    def __init__(
        self,
        home: Path,
        options: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        foreground: bool = False,
    ) -> None:
        self.home = home
        self.log = home.parent / "agent.log"
        self._options = tuple(options)
        self._shown = () if foreground else ("--background",)
        self._environment = dict(environment or {})
        self._gauge = home.parent / "gauge"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it answers."""
        words = ["--home", str(self.home), *self._shown, "--log-level", "info", *self._options]
        environment = {
            **os.environ,
            "PYTHONPATH": str(GAUGE),
            "HANDOFF_GAUGE": str(self._gauge),
            "XDG_RUNTIME_DIR": "",
            **self._environment,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # the agent's own module, as 'handoff agent run' starts it
                [sys.executable, "-m", "p2p_handoff.agent", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.home.parent,
            )
        deadline = time.monotonic() + START_PATIENCE
        while not await self._answers():
            hold(self.runs and time.monotonic() < deadline, f"the agent does not start: {self.words()[-500:]}")
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """End it in the orderly way."""
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, 30)
            self._process = None

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    async def call(self, command: str, **args: Any) -> Mapping[str, Any]:
        """Run one command in it.

        Raises:
            HandoffError: What the command raised.
        """
        return await asyncio.to_thread(Client(socket_path(self.home)).call, command, args, timeout=30.0)

    async def session(self, title: str) -> Mapping[str, Any]:
        """A session as it knows it."""
        (found,) = [item for item in (await self.call("sessions"))["sessions"] if item["title"] == title]
        return dict(found)

    def words(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def check_sound(self) -> None:
        """It lives, answers, and met nothing that its code does not foresee."""
        hold(self.runs, f"the agent died: {self.words()[-500:]}")
        await self.call("whoami")
        for sign in _UNFORESEEN:
            words = self.words()
            hold(sign not in words, f"the log has {sign!r}: {words[max(0, words.find(sign) - 300) :][:1500]}")

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[Load]:
        """Measure what happens in the block; the figures are there after it."""
        load = Load()
        await self.call("whoami")
        Path(f"/proc/{self.pid}/clear_refs").write_text(_RESET_PEAK)
        before = self._memory("VmRSS")
        with self._gauge.open("r+b") as file:
            file.write(bytes(_FIGURE.size))
        yield load
        await self.check_sound()
        load.growth = max(0, self._memory("VmHWM") - before)
        load.stall, step = _FIGURE.unpack(self._gauge.read_bytes())
        load.step = step.rstrip(b"\0").decode(errors="replace")

    def _memory(self, figure: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith(f"{figure}:")]
        return int(line.split()[1]) * KIB

    async def _answers(self) -> bool:
        with contextlib.suppress(HandoffError):
            await self.call("whoami")
            return True
        return False


def configure(home: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a home; tables as mappings."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    plain = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    tables = [
        "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())])
        for name, table in settings.items()
        if isinstance(table, Mapping)
    ]
    (home / "config.toml").write_text("\n".join([*plain, *tables, ""]))
