# SPDX-License-Identifier: Apache-2.0
"""Gets what the comparisons need: Debian packages where this is root on Debian, Python programs. Layer: bench.

Nothing is installed beside the system's package manager and a directory in the user's cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

from bench.devices import COMMAND_DEADLINE, BenchError
from bench.peers.base import PeerMissingError
from bench.places import Place

PACKAGES: Final = {
    "rsync": "rsync",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "zstd": "zstd",
    "iperf3": "iperf3",
}
"""Command → its Debian package."""
_SYSTEM: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def command(name: str) -> str:
    """Where a command is; its package is installed if that can be done.

    Raises:
        PeerMissingError: It is not here.
    """
    found = shutil.which(name, path=_SYSTEM)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(PACKAGES[name])
        found = shutil.which(name, path=_SYSTEM)
    if found is None:
        raise PeerMissingError(f"{name} is not here: install {PACKAGES[name]}")
    return found


def _install(package: str) -> None:
    _update()
    _apt_get("install", "-y", "-qq", "--no-install-recommends", package)


@cache
def _update() -> None:
    """Learn once what there is to install."""
    _apt_get("update", "-qq")


def _apt_get(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *words], env=environment, capture_output=True, check=False, timeout=COMMAND_DEADLINE)


def virtual_environment(name: str, requirements: Sequence[str]) -> Path:
    """The ``bin`` of a virtual environment with exactly these packages, made once and kept in the user's cache.

    Raises:
        PeerMissingError: They cannot be installed.
    """
    place = user_cache_path("p2p-handoff-bench") / name
    stamp = place / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(requirements):
        shutil.rmtree(place, ignore_errors=True)
        for argv in (
            [sys.executable, "-m", "venv", str(place)],
            [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=COMMAND_DEADLINE)
            if done.returncode:
                raise PeerMissingError(f"{name} cannot be installed: {done.stderr.strip()[-300:]}")
        stamp.write_text("\n".join(requirements))
    return place / "bin"


def timed(place: Place, argv: Sequence[str]) -> float:
    """Run a command to its end; the seconds it took.

    Raises:
        BenchError: It failed.
    """
    began = time.perf_counter()
    done = subprocess.run(
        place.argv(argv), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=COMMAND_DEADLINE
    )
    taken = time.perf_counter() - began
    if done.returncode:
        raise BenchError(f"{argv[0]}: exit {done.returncode}: {done.stderr[-500:].decode(errors='replace')}")
    return taken
