# SPDX-License-Identifier: Apache-2.0
"""Discovery as a program, to be run on a host of the laboratory, and the handle with which a test drives it.

Run: ``python -m tests.network.discovery_host NAME``. It reads one command per line (``announce NAMEPLATE``,
``refresh``, ``reconfirm DEVICE``, ``look``, ``problem``, ``sightings``, ``rooms``, ``close``), and writes one JSON
object per line.
"""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

from p2p_handoff.discovery.announcement import Announcement, Sighting
from p2p_handoff.discovery.mdns import Discovery
from p2p_handoff.discovery.veil import Acquaintances
from p2p_handoff.ids import DeviceId, RoomId, device_id
from tests.network.lab import Host

PORT: Final = 4711
VERSION: Final = 1
ROOM: Final = RoomId("abcdefghijklmnopqrstuvwxyz")
STRANGER: Final = Acquaintances(DeviceId(""), {})
PATIENCE: Final = 15.0
"""Seconds a test waits for something that takes one or two."""


def device_of(name: str) -> DeviceId:
    """The id of the device that a name stands for in these tests."""
    return device_id(name.encode())


class Discoverer:
    """Discovery running on a host, seen from the test."""

    def __init__(self, host: Host, name: str, *, quiet: bool = False) -> None:
        self.name = name
        argv = [sys.executable, "-m", "tests.network.discovery_host", name, *(["quiet"] if quiet else [])]
        self.process = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait(lambda line: line["event"] == "started")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def tell(self, command: str) -> None:
        """Send one command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def wait(self, wanted: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> dict[str, Any]:
        """The next line that fits; what comes before it is skipped."""
        deadline = time.monotonic() + patience
        seen = []
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            seen.append(line)
            if wanted(answer := json.loads(line)):
                return dict(answer)
        raise AssertionError(f"{self.name} did not say what was waited for in {patience} s, but: {seen}")

    def finds(self, name: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Wait until it has found the device of a name."""
        return self.wait(lambda line: line["event"] == "found" and line["name"] == name and wanted(line))

    def loses(self, name: str) -> None:
        """Wait until it has lost the device of a name."""
        self.wait(lambda line: line["event"] == "lost" and line["device"] == device_of(name))

    def problem(self) -> str | None:
        """What it says is wrong with the network."""
        self.tell("problem")
        return self.wait(lambda line: line["event"] == "problem")["problem"]  # type: ignore[no-any-return]

    def sights(self) -> list[str]:
        """Names of the devices it has in sight."""
        self.tell("sightings")
        return list(self.wait(lambda line: line["event"] == "sightings")["names"])

    def rooms(self) -> list[int]:
        """Nameplates of the open rooms it has in sight."""
        self.tell("rooms")
        return list(self.wait(lambda line: line["event"] == "rooms")["nameplates"])

    def kill(self) -> None:
        """End it without a goodbye."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201 - standard output is the interface


def found(sighting: Sighting) -> None:
    say("found", name=sighting.name, device=sighting.device, addresses=sighting.addresses, room=sighting.room)


def announcement(name: str, nameplate: int | None = None) -> Announcement:
    return Announcement(device_of(name), name, PORT, VERSION, None if nameplate is None else (ROOM, nameplate))


async def obey(discovery: Discovery, name: str, command: str, argument: str) -> None:
    match command:
        case "announce":
            await discovery.update(announcement(name, int(argument)), STRANGER)
        case "refresh":
            await discovery.refresh_interfaces()
        case "reconfirm":
            say("reconfirmed", there=await discovery.reconfirm(DeviceId(argument)))
        case "look":
            discovery.look()
        case "problem":
            say("problem", problem=discovery.problem)
        case "sightings":
            say("sightings", names=[sighting.name for sighting in discovery.sightings.values()])
        case "rooms":
            say("rooms", nameplates=[seen.room[1] for seen in discovery.rooms if seen.room is not None])


async def main(name: str, *, quiet: bool) -> None:
    # The poll is out of the way: a test says when the interfaces are looked at.
    discovery = Discovery(found, lambda device: say("lost", device=device), poll_interval=1.0 if not quiet else 3600.0)
    # What is announced is true: something listens there. A second agent on one host finds the port taken.
    with suppress(OSError):
        await asyncio.start_server(lambda _, writer: writer.close(), None, PORT)
    await discovery.start(announcement(name), STRANGER)
    say("started")
    loop = asyncio.get_running_loop()
    while (line := await loop.run_in_executor(None, sys.stdin.readline)).strip() not in ("", "close"):
        command, _, argument = line.strip().partition(" ")
        await obey(discovery, name, command, argument)
    await discovery.close()
    say("closed")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], quiet="quiet" in sys.argv[2:]))
