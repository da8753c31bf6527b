# SPDX-License-Identifier: Apache-2.0
"""A cable that treats frames badly: a program that joins two network namespaces by a TAP device in each.

    python -m tests.network.faulty_link SEED HOST-NAMESPACE INTERFACE BRIDGE-NAMESPACE INTERFACE

It prints ``ready`` when both devices are there. A line of JSON on standard input, ``{"out": {…}, "in": {…}, "purge":
bool}``, sets what happens to frames from and to the host (``faults.Faults``), and is answered by a line with the
counts so far. It ends with its standard input, or with a device.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from tests.network.faults import Direction, Faults

_NAMESPACES: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000
_FRAME: Final = 65536
_BATCH: Final = 64
"""Frames read before the other side has its turn."""


def main() -> None:
    """Carry frames until standard input ends."""
    seed, host_space, host_name, bridge_space, bridge_name = sys.argv[1:]
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    link = Link(int(seed), _tap(host_space, host_name), _tap(bridge_space, bridge_name))
    _enter(home)
    _say("ready")
    link.run()


class Link:
    """Two TAP devices and what happens between them.

    Args:
        seed: Of both directions.
        host: Descriptor of the device on the host.
        bridge: Descriptor of the one at the bridge.
    """

    def __init__(self, seed: int, host: int, bridge: int) -> None:
        self._out = Direction(seed)
        self._in = Direction(seed + 1)
        self._ways = {host: (self._out, bridge), bridge: (self._in, host)}
        self._poll = select.poll()
        for descriptor in (host, bridge, sys.stdin.fileno()):
            self._poll.register(descriptor, select.POLLIN)
        self._heard = b""

    def run(self) -> None:
        """Carry frames until standard input or a device ends."""
        try:
            while self._turn():
                continue
        except OSError:
            return  # A namespace went away, and its device with it.

    def _turn(self) -> bool:
        for descriptor, _ in self._poll.poll(self._patience()):
            if descriptor in self._ways:
                self._read(descriptor)
            elif not self._obey(os.read(descriptor, _FRAME)):
                return False
        self._deliver()
        return True

    def _patience(self) -> float | None:
        """Milliseconds until a frame is due; None while none is under way."""
        times = [due for way, _ in self._ways.values() if (due := way.next_due()) is not None]
        return max(0.0, (min(times) - time.monotonic()) * 1000) if times else None

    def _read(self, descriptor: int) -> None:
        way, _ = self._ways[descriptor]
        for _ in range(_BATCH):
            try:
                frame = os.read(descriptor, _FRAME)
            except BlockingIOError:
                return
            way.take(frame, time.monotonic())

    def _deliver(self) -> None:
        now = time.monotonic()
        for way, destination in self._ways.values():
            for frame in way.due(now):
                try:
                    os.write(destination, frame)
                except BlockingIOError:
                    way.counts.overflowed += 1
                except OSError:
                    way.counts.lost += 1  # The device is down: its cable is pulled.

    def _obey(self, data: bytes) -> bool:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._set(json.loads(line))
            _say(json.dumps({"out": asdict(self._out.counts), "in": asdict(self._in.counts)}))
        return bool(data)

    def _set(self, wanted: Mapping[str, Any]) -> None:
        for name, way in (("out", self._out), ("in", self._in)):
            if name in wanted:
                way.faults = replace(Faults(), **wanted[name])
            if wanted.get("purge"):
                way.purge()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tap(namespace: str, name: str) -> int:
    """A TAP device in a namespace; it lives as long as the descriptor."""
    _enter(os.open(_NAMESPACES / namespace, os.O_RDONLY))
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode("ascii"), _IFF_TAP | _IFF_NO_PI))
    return descriptor


def _enter(space: int) -> None:
    """Move this process into a network namespace (setns(2)) and close its descriptor."""
    library = ctypes.CDLL(None, use_errno=True)
    failed = library.setns(space, _CLONE_NEWNET)
    number = ctypes.get_errno()
    os.close(space)
    if failed:
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
