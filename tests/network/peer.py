# SPDX-License-Identifier: Apache-2.0
"""A device on a host of the laboratory: the real ``handoff`` command and the real agent, seen from a test.

Every command is a process on the host, with a home and a ``HOME`` of its own. What is waited for is a line of JSON, or
a state that a command reports; nothing sleeps for luck.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeVar

from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from tests.network.lab import Host, Lab

T = TypeVar("T")

HANDOFF: Final = Path(sys.executable).parent / "handoff"
RELAY: Final = Path(sys.executable).parent / "handoff-relay"
PATIENCE: Final = 120.0
"""Seconds for one command: none of these tests needs a tenth of it on a quiet machine."""
START_PATIENCE: Final = 60.0
"""Seconds for an agent or a relay to answer."""
_POLL: Final = 0.05
_SHOWN_LOG_LINES: Final = 120
_ENVIRONMENT: Final = {"PYTHONUNBUFFERED": "1", "XDG_RUNTIME_DIR": "", "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    exit_code: int
    lines: tuple[Mapping[str, Any], ...]

    @property
    def result(self) -> Mapping[str, Any]:
        """The last line."""
        assert self.lines, "the command printed nothing"
        return self.lines[-1]

    @property
    def message(self) -> str:
        """The error's sentence, or the report's text."""
        error = self.result.get("error")
        return str(error["message"] if isinstance(error, Mapping) else self.result.get("text", ""))

    def done(self) -> Mapping[str, Any]:
        """The result of a command that succeeded."""
        assert self.exit_code == 0, f"exit code {self.exit_code}: {self.result}"
        return self.result


class Command:
    """A command that runs on a host; its standard output is read as lines of JSON.

    Args:
        process: Started with pipes for standard output and input.
        words: For messages.
    """

    def __init__(self, process: subprocess.Popen[str], words: Sequence[str]) -> None:
        self.process = process
        self._words = " ".join(words)
        self._seen: list[dict[str, Any]] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(
        self, name: str, wanted: Callable[[Mapping[str, Any]], bool] = lambda _: True, *, patience: float = PATIENCE
    ) -> Mapping[str, Any]:
        """The next event of a name that fits; what comes before it is kept for ``answer``."""
        deadline = time.monotonic() + patience
        while (line := self._next(deadline)) is not None:
            if line.get("event") == name and wanted(line):
                return line
        raise AssertionError(f"handoff {self._words} ended without the event {name!r}: {self._seen[-5:]}")

    def answer(self, patience: float = PATIENCE) -> Answer:
        """Wait for its end."""
        deadline = time.monotonic() + patience
        while self._next(deadline) is not None:
            continue
        exit_code = self.process.wait(max(0.1, deadline - time.monotonic()))
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        return Answer(exit_code, tuple(self._seen))

    def _next(self, deadline: float) -> dict[str, Any] | None:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"handoff {self._words} takes too long; it said {self._seen[-5:]}") from None
        if line is not None:
            self._seen.append(line)
        return line

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)


class Peer:
    """One device.

    Args:
        host: Where it runs.
        place: A directory of its own: home, user's directory, log.
        name: Display name.
        options: Options of every agent it starts, such as ``--engine aiortc``.
    """

    def __init__(self, host: Host, place: Path, name: str, options: Sequence[str] = ()) -> None:
        self.host = host
        self.name = name
        self.home = place / "agent"
        self.user = place / "user"
        self.options = tuple(options)
        self.user.mkdir(parents=True)
        self._log = place / "agent.log"
        self._agent: subprocess.Popen[Any] | None = None

    # --- the agent ----------------------------------------------------------------------------------

    @property
    def agent(self) -> subprocess.Popen[Any]:
        """The agent's process."""
        assert self._agent is not None
        return self._agent

    def start_agent(self, *options: str, program: Sequence[str] = ()) -> None:
        """Start the agent and wait until it answers; the arguments are those of ``launch_agent``."""
        self.launch_agent(*options, program=program)
        self.wait_for_agent()

    def launch_agent(self, *options: str, program: Sequence[str] = ()) -> None:
        """Start the agent.

        Args:
            options: Beside those of the device.
            program: Run instead of ``handoff agent run``.
        """
        argv = [*(program or (str(HANDOFF), "agent", "run", "--json", "--name", self.name, "--log-level", "info"))]
        with self._log.open("ab") as log:
            self._agent = self.host.popen(
                [*argv, *self.options, *options],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.user,
            )

    def wait_for_agent(self) -> None:
        """Wait until the agent answers."""
        until(self._answers, START_PATIENCE, f"the agent of {self.name} answers")

    def stop_agent(self) -> None:
        """Stop it as a user does."""
        self.run("agent", "stop").done()
        self.agent.wait(PATIENCE)
        self._agent = None

    def kill_agent(self) -> None:
        """Kill it as a crash or a power cut does."""
        self.agent.kill()
        self.agent.wait()
        self._agent = None

    def close(self) -> None:
        """End the agent that this device started, and show its log (pytest keeps it for failed tests)."""
        if self._agent is not None:
            with suppress(subprocess.TimeoutExpired):
                self._agent.wait(5)
            if self._agent.poll() is None:
                self._agent.kill()
                self._agent.wait()
        for log in (self._log, self.home / "agent.log"):
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
                sys.stderr.write("\n".join([f"--- {log} of {self.name}", *lines, ""]))

    def begin_to_close(self) -> None:
        """Tell the agent to end."""
        if self._agent is not None:
            self._agent.terminate()

    def _answers(self) -> bool:
        assert self.agent.poll() is None, f"the agent of {self.name} ended: {self._log.read_text()[-2000:]}"
        return self.running

    @property
    def running(self) -> bool:
        """Whether an agent answers on this home."""
        return Client(socket_path(self.home)).running()

    # --- commands -----------------------------------------------------------------------------------

    def begin(self, *words: str, stdin: str | None = None) -> Command:
        """Start ``handoff WORDS --json`` here."""
        process = self.host.popen(
            [str(HANDOFF), *words, "--json"],
            env=self._environment(),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.user,
        )
        if stdin is not None:
            write_line(process.stdin, stdin)
        return Command(process, words)

    def run(self, *words: str, stdin: str | None = None, patience: float = PATIENCE) -> Answer:
        """Run ``handoff WORDS --json`` here to its end."""
        return self.begin(*words, stdin=stdin).answer(patience)

    def ask(self, *words: str) -> Mapping[str, Any]:
        """The result of a command that must succeed."""
        return self.run(*words).done()

    def hand_over(self, session: str | Path, to: Peer, *words: str, patience: float = PATIENCE) -> Mapping[str, Any]:
        """``handoff to``, which must end well; returns its result."""
        answer = self.run("to", to.name, str(session), *words, patience=patience)
        assert answer.exit_code == 0, answer.result
        assert answer.result["outcome"] == "done"
        return answer.result

    def events(self) -> Command:
        """``handoff events``, listening."""
        return self.begin("events")

    # --- what it knows ------------------------------------------------------------------------------

    def told(self, command: str) -> Mapping[str, Any]:
        """What the agent answers to a command without arguments, asked without a process of its own: for polling."""
        return Client(socket_path(self.home)).call(command, timeout=PATIENCE)

    def sees(self, other: Peer) -> Mapping[str, Any]:
        """Wait until it has another device in sight."""

        def entry() -> Mapping[str, Any] | None:
            found = [item for item in self.told("peers")["peers"] if item["name"] == other.name and item["online"]]
            return found[0] if found else None

        return until(entry, START_PATIENCE, f"{self.name} sees {other.name}")

    def session(self, title: str) -> Mapping[str, Any]:
        """A session as this device knows it."""
        (found,) = [item for item in self.told("sessions")["sessions"] if item["title"] == title]
        return dict(found)

    def request(self) -> Mapping[str, Any]:
        """Wait for the one request that asks for an answer."""

        def pending() -> Mapping[str, Any] | None:
            requests = self.told("requests")["requests"]
            return requests[0] if requests else None

        return until(pending, PATIENCE, f"{self.name} is asked")

    def _environment(self) -> dict[str, str]:
        return {**_ENVIRONMENT, "HANDOFF_HOME": str(self.home), "HOME": str(self.user)}


class Devices:
    """All devices of one test.

    Args:
        lab: Where their hosts are.
        root: Holds a directory for each.
    """

    def __init__(self, lab: Lab, root: Path) -> None:
        self._lab = lab
        self._root = root
        self._peers: list[Peer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self._peers:
            peer.begin_to_close()
        for peer in self._peers:
            peer.close()

    def on(self, host: Host, *options: str) -> Peer:
        """A device named after its host, whose agent does not run yet.

        Args:
            host: Where it runs.
            options: Of every agent it starts, such as ``--engine aiortc``.
        """
        peer = Peer(host, self._root / host.name, host.name, options)
        self._peers.append(peer)
        return peer

    def start(self, *peers: Peer) -> None:
        """Start the agents of some devices at once."""
        for peer in peers:
            peer.launch_agent()
        for peer in peers:
            peer.wait_for_agent()

    def strangers(self, *options: str) -> tuple[Peer, Peer]:
        """Two devices on one network, ``laptop`` and ``desktop``, that run and know nothing of each other."""
        net = self._lab.bridge("net")
        pair = (
            self.on(self._lab.host("laptop", bridge=net), *options),
            self.on(self._lab.host("desktop", bridge=net), *options),
        )
        self.start(*pair)
        return pair

    def linked(self, *options: str, kind: str = "own") -> tuple[Peer, Peer]:
        """As ``strangers``, then linked by a code."""
        laptop, desktop = self.strangers(*options)
        link(laptop, desktop, kind)
        return laptop, desktop


def link(opener: Peer, joiner: Peer, kind: str = "own") -> None:
    """Link two devices by the code that one shows and the other reads from standard input."""
    shown = opener.begin("link", f"--{kind}")
    code = str(shown.wait("code")["code"])
    joined = joiner.run("link", "-", f"--{kind}", stdin=code).done()
    assert joined["name"] == opener.name
    assert shown.answer().done()["name"] == joiner.name


def start_relay(host: Host) -> tuple[subprocess.Popen[Any], str]:
    """A shared relay on a host: its process and its URL."""
    process = host.popen([str(RELAY), "--port", "8787"], stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT)
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    return process, f"ws://{host.address}:8787"


def until(probe: Callable[[], T | None], patience: float, what: str) -> T:
    """Wait until a probe answers with something true, and return that."""
    deadline = time.monotonic() + patience
    while True:
        if found := probe():
            return found
        assert time.monotonic() < deadline, f"not in {patience} s: {what}"
        time.sleep(_POLL)


def write_line(stream: IO[str] | None, text: str) -> None:
    """One line to a process, which may have ended."""
    assert stream is not None
    with suppress(BrokenPipeError):
        stream.write(f"{text}\n")
        stream.flush()


def memory_peak(process: subprocess.Popen[Any]) -> int:
    """The most bytes of memory that a running process has had resident (proc_pid_status(5), VmHWM)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
