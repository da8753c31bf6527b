# SPDX-License-Identifier: Apache-2.0
"""magic-wormhole, with a mailbox and a transit relay of its own on this machine. Layer: bench.

Both commands start at the same moment and the code is given: what a person takes to read and type it is not counted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from bench.devices import COMMAND_DEADLINE, BenchError
from bench.peers.tools import virtual_environment
from bench.places import Pair, Place

NAME: Final = "magic-wormhole"
REQUIREMENTS: Final = (
    "magic-wormhole==0.24.0",
    "magic-wormhole-mailbox-server==0.8.0",
    "magic-wormhole-transit-relay==0.5.0",
)
_MAILBOX, _TRANSIT = 47840, 47841
_START_DEADLINE: Final = 60.0


class Wormhole:
    """One side of the comparison.

    Args:
        places: Sender left, receiver right; the servers run on the left.
        programs: The ``bin`` that holds them.
    """

    name = NAME

    def __init__(self, places: Pair, programs: Path) -> None:
        self._places = places
        host = places.left.address
        servers = ["--relay-url", f"ws://{host}:{_MAILBOX}/v1", "--transit-helper", f"tcp:{host}:{_TRANSIT}"]
        self._wormhole = [str(programs / "wormhole"), *servers]
        self._nameplates = count(1)

    def carry(self, source: Path, into: Path) -> float:
        """See ``Carrier``; a folder is zipped first, since that is what the program does.

        It replaces no folder: an old one is removed before the clock starts.
        """
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        code = f"{next(self._nameplates)}-guitar-beeswax"
        send = ["send", "--hide-progress", "--no-qr", "--code", code, str(source)]
        receive = ["receive", "--hide-progress", "--accept-file", "--output-file", str(into), code]
        began = time.perf_counter()
        with self._start(self._places.left, send) as sending, self._start(self._places.right, receive) as receiving:
            try:
                for process in (receiving, sending):
                    said, _ = process.communicate(timeout=COMMAND_DEADLINE)
                    if process.returncode:
                        raise BenchError(f"magic-wormhole: {said[-500:].decode(errors='replace')}")
            finally:
                sending.kill()
                receiving.kill()
        return time.perf_counter() - began

    def _start(self, place: Place, words: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            place.argv([*self._wormhole, *words]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def servers(places: Pair, root: Path) -> Iterator[Wormhole]:
    """Running servers; they end with the block.

    Args:
        places: They run on the left one.
        root: A directory for their databases; made.

    Raises:
        PeerMissingError: It cannot be installed.
        BenchError: A server does not start.
    """
    programs = virtual_environment("magic-wormhole", REQUIREMENTS)
    root.mkdir(parents=True)
    twist, address = str(programs / "twist"), places.left.address
    mailbox = [twist, "wormhole-mailbox", "--port", f"tcp:{_MAILBOX}:interface={address}"]
    transit = [twist, "transitrelay", "--port", f"tcp:{_TRANSIT}:interface={address}"]
    with (root / "log").open("wb") as log:
        running = [_server(places.left, argv, root, log.fileno()) for argv in (mailbox, transit)]
        try:
            for port in (_MAILBOX, _TRANSIT):
                _wait(places.left, port, root / "log")
            yield Wormhole(places, programs)
        finally:
            for process in running:
                process.terminate()
                process.wait()


def _server(place: Place, argv: list[str], root: Path, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(place.argv(argv), cwd=root, env=dict(os.environ), stdout=log, stderr=log)


def _wait(place: Place, port: int, log: Path) -> None:
    """Until a port answers; the question is asked from its own place."""
    dial = f"import socket; socket.create_connection(({place.address!r}, {port}), 1).close()"
    deadline = time.monotonic() + _START_DEADLINE
    while subprocess.run(place.argv([sys.executable, "-S", "-c", dial]), capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise BenchError(f"magic-wormhole's servers do not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.05)
