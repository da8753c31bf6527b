# SPDX-License-Identifier: Apache-2.0
"""What a measurement depends on: the machine, the versions, the commit. Layer: bench."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

HAS_PROC: Final = Path("/proc/self/stat").exists()
_PACKAGES: Final = (
    "aioice", "aiortc", "blake3", "cbor2", "cryptography", "p2p-handoff", "pycrdt", "pyfastcdc", "wrtc", "zstandard",
)  # fmt: skip


def cpu_model(cpuinfo: str) -> str:
    """The processor's name out of ``/proc/cpuinfo``; empty where it is not told."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "Hardware"}:
            return value.strip()
    return ""


def facts(root: Path) -> dict[str, Any]:
    """Everything that a reader needs to judge the figures.

    Args:
        root: The repository.
    """
    cpuinfo = Path("/proc/cpuinfo")
    return {
        "commit": _commit(root),
        "cpu": cpu_model(cpuinfo.read_text()) if cpuinfo.exists() else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _commit(root: Path) -> str:
    """Short name of the commit, with a plus where the tree differs from it."""
    describe = ["git", "-C", str(root), "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"]
    done = subprocess.run(describe, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its threads used so far (proc_pid_stat(5), fields 14 and 15).

    Raises:
        OSError: It does not run, or this system has no ``/proc``.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int:
    """The most bytes that a process had resident, its children's added (proc_pid_status(5), VmHWM).

    Raises:
        OSError: It does not run, or this system has no ``/proc``.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _high_water(Path(f"/proc/{pid}/status").read_text()) + sum(peak_memory(int(child)) for child in children)


def _high_water(status: str) -> int:
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def disk_usage(*places: Path) -> int:
    """Bytes that the files beneath some places take on disk; one that has several names counts once."""
    found: dict[tuple[int, int], int] = {}
    for place in places:
        for top, folders, names in os.walk(place):
            for name in (*folders, *names):
                status = (Path(top) / name).lstat()
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())
