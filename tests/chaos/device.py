# SPDX-License-Identifier: Apache-2.0
"""One device: a home, files, and a real ``handoff agent run`` behind a warden, spoken to on its control socket."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import HandoffError
from tests.chaos.nursery import Nursery
from tests.chaos.warden import Warden

HANDOFF: Final = Path(sys.executable).parent / "handoff"
START_PATIENCE: Final = 60.0
"""Seconds for an agent to answer: a bound for a machine that does much else."""
_POLL: Final = 0.02
TELLING: Final = Path(__file__).parent / "telling"
"""On the path of an agent that tells."""

Fields = Mapping[str, Any]


class DeviceError(Exception):
    """A device did not do what it must; says what it did."""


class Device:
    """One device.

    Args:
        place: A directory of its own: home, files, log.
        name: Display name.
        port: TCP port of its embedded relay.
        peer_port: That of the other one.
        nursery: Starts its agents.
    """

    def __init__(self, place: Path, name: str, port: int, peer_port: int, nursery: Nursery | None = None) -> None:
        self.name = name
        self.home = place / "home"
        self.files = place / "files"
        self.log = place / "agent.log"
        self._network = ("--port", str(port), "--peer", f"127.0.0.1:{peer_port}", "--no-mdns")
        self.warden: Warden | None = None
        self.environment: dict[str, str] = {}
        """Added to that of its agent."""
        self.tells = False
        """Whether its agent tells of every message (tests/chaos/messages.py)."""
        self._given_up = False
        self._nursery = nursery

    def make(self) -> None:
        """Make its directories."""
        self.files.mkdir(parents=True)
        self.home.mkdir(mode=0o700)
        self.configure({})

    def configure(self, more: Mapping[str, Any]) -> None:
        """Write its settings, to be read at its next start.

        Args:
            more: Beside those that every device has here.
        """
        settings = {"name": self.name, "receive_dir": str(self.files), **more}
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        (self.home / "config.toml").write_text(text)

    # --- its process --------------------------------------------------------------------------------

    def start(self, prepare: Callable[[Warden], None] = lambda _warden: None, *, engine: str = "auto") -> Warden:
        """Start its agent; ``answers`` waits for it.

        Args:
            prepare: Gets the warden before the agent does anything: a fault of the start itself is armed here.
            engine: As on the command line.
        """
        if self._given_up:
            raise DeviceError("the run was given up")
        words = ["--home", str(self.home), "--engine", engine, *self._network, "--log-level", "info"]
        if self._nursery is None or self.environment or engine != "auto":  # Else than what a nursery has loaded.
            tells = {"PYTHONPATH": str(TELLING)} if self.tells else {}
            argv = [str(HANDOFF), "agent", "run", "--json", *words]
            self.warden = Warden(argv, self.log, prepare, {**tells, **self.environment})
        else:
            first = TELLING / "sitecustomize.py" if self.tells else None
            self.warden = Warden(
                [*words, "--background"], self.log, prepare, start=partial(self._nursery.start, first=first)
            )
        return self.warden

    def answers(self) -> None:
        """Wait until the agent answers.

        Raises:
            DeviceError: It ended, or takes too long.
        """
        deadline = time.monotonic() + START_PATIENCE
        while not self._is_up():
            code = None if self.warden is None else self.warden.process.poll()
            if code is not None or time.monotonic() > deadline:
                raise DeviceError(f"the agent of {self.name} does not answer (exit code {code}): {self.last_words()}")
            time.sleep(_POLL)

    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.warden is not None and self.warden.process.poll() is None

    def stop(self) -> None:
        """End its agent in the orderly way."""
        if self.warden is not None:
            self.warden.stop()
            self.warden = None

    def kill(self) -> None:
        """End its agent as a power switch does."""
        if self.warden is not None:
            self.warden.kill()
            self.warden = None

    def give_up(self) -> None:
        """End its process from another thread, and start none any more."""
        self._given_up = True
        if self.warden is not None:
            self.warden.process.kill()

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    # --- commands -----------------------------------------------------------------------------------

    def call(
        self,
        command: str,
        args: dict[str, Any] | None = None,
        *,
        on_event: Callable[[str, Fields], None] | None = None,
        patience: float = 60.0,
    ) -> Fields:
        """Run one command in its agent.

        Args:
            command: Its name.
            args: Its arguments.
            on_event: Gets what happens meanwhile.
            patience: Most seconds of silence.

        Raises:
            HandoffError: What the command raised.
        """
        return self.client().call(command, args, on_event=on_event, timeout=patience)

    def client(self) -> Client:
        """Somebody who asks its agent for one thing."""
        return Client(socket_path(self.home))

    def session(self, title: str) -> Fields | None:
        """What it says about a session; None when it has none of that title."""
        found = [session for session in self.call("sessions")["sessions"] if session["title"] == title]
        return found[0] if found else None

    def _is_up(self) -> bool:
        with contextlib.suppress(HandoffError):
            self.call("whoami", patience=5.0)
            return True
        return False
