# SPDX-License-Identifier: Apache-2.0
"""Starts agents from a process that has imported all they need, so that hundreds of starts cost no import each.

``Nursery`` is the harness's end; run as a program this is the other one: it forks a child for each request, which goes
behind its filter and becomes an agent (``python -m p2p_handoff.agent``, as ``handoff agent run`` does). It is as much a
process of its own as one that was executed; what it has not done again is to load the interpreter and the modules.
A nursery ends with its harness, and its children with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_MODULES: Final = ("p2p_handoff.agent.__main__", "p2p_handoff.engines.native_engine", "tests.chaos.launch")
_NATIVE: Final = "wrtc"
_LONGEST: Final = 1 << 16


class Child:
    """A process that a nursery started: what the harness does with one that it started itself.

    Args:
        pid: Its number; it waits for the harness, so it is there.
        argv: Its arguments.
    """

    def __init__(self, pid: int, argv: Sequence[str]) -> None:
        self.pid = pid
        self._argv = list(argv)
        self._pidfd = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._pidfd)

    def poll(self) -> int | None:
        """None while it runs; its exit code is its parent's to know, so it is 0 here."""
        return 0 if select.select([self._pidfd], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        if not select.select([self._pidfd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self._argv, timeout or 0)
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal; one that has ended gets none."""
        if self.poll() is None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The harness's end. Starts its process at once."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.nursery", str(other.fileno())], pass_fds=(other.fileno(),), cwd=ROOT
            )

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        descriptors: tuple[int, int, int],
        first: Path | None = None,
    ) -> Child:
        """Start an agent.

        Args:
            argv: Its arguments.
            environment: All of it; what PYTHONPATH leads to is not imported.
            descriptors: For its output; to announce its filter on; to wait on (tests/chaos/launch.py).
            first: A file of Python that is run before.

        Raises:
            OSError: The nursery is gone.
        """
        wish = {"argv": list(argv), "environment": dict(environment), "first": str(first or "")}
        request = json.dumps(wish).encode()
        with self._turn:
            socket.send_fds(self._socket, [request], descriptors)
            answer = self._socket.recv(_LONGEST)
        if not answer:
            raise OSError("the process that starts agents has ended")
        return Child(int(answer), argv)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


def serve(requests: socket.socket) -> None:
    """Fork a child for every request, until the harness is gone.

    Raises:
        RuntimeError: An import has started a thread, which a fork would lose.
    """
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 3)
        if not request:
            return
        child = os.fork()
        if child == 0:
            requests.close()
            _become(json.loads(request), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(b"%d" % child)


def _import_all() -> None:
    for module in _MODULES:
        importlib.import_module(module)
    with contextlib.suppress(ImportError):  # Then agents choose the other engine.
        importlib.import_module(_NATIVE)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("an import has started a thread")
    gc.freeze()


def _become(request: Mapping[str, Any], output: int, announce: int, hold: int) -> None:
    from p2p_handoff.agent.__main__ import main  # noqa: PLC0415 - the harness itself loads no agent
    from tests.chaos.launch import confine  # noqa: PLC0415 - as above

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["first"]:
        runpy.run_path(request["first"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for descriptor in (nothing, output):
        os.close(descriptor)
    confine(announce, hold)
    sys.exit(main(request["argv"]))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
