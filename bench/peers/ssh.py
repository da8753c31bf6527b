# SPDX-License-Identifier: Apache-2.0
"""An ssh server of our own on the right place: own keys, own port, no settings of the user. Layer: bench."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.devices import BenchError
from bench.peers.tools import command
from bench.places import Pair

PORT: Final = 47822
_START_DEADLINE: Final = 60.0
_PRIVILEGE_SEPARATION: Final = Path("/run/sshd")
"""sshd started by root does nothing without it."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """A way onto the right place."""

    places: Pair
    config: Path

    @property
    def argv(self) -> list[str]:
        """The command to which a destination and a command are appended."""
        return [command("ssh"), "-F", str(self.config)]


@contextmanager
def server(places: Pair, root: Path) -> Iterator[Ssh]:
    """A running server; it ends with the block.

    Args:
        places: It runs on the right one.
        root: A directory for keys and settings; made.

    Raises:
        PeerMissingError: There is no ssh here.
        BenchError: It does not start.
    """
    daemon, _ = command("sshd"), command("ssh")
    root.mkdir(parents=True, mode=0o700)
    for name in ("host", "user"):
        keygen = [command("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)]
        subprocess.run(keygen, check=True, capture_output=True)
    (root / "user.pub").rename(root / "authorized")
    (root / "sshd_config").write_text(_server_settings(places, root))
    (root / "config").write_text(_client_settings(places, root))
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    argv = places.right.argv([daemon, "-D", "-e", "-f", str(root / "sshd_config")])
    with (root / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as running:
        try:
            ssh = Ssh(places, root / "config")
            _wait(ssh, running, root / "log")
            yield ssh
        finally:
            running.terminate()


def _server_settings(places: Pair, root: Path) -> str:
    return f"""ListenAddress {places.right.address}:{PORT}
HostKey {root / "host"}
AuthorizedKeysFile {root / "authorized"}
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
"""


def _client_settings(places: Pair, root: Path) -> str:
    return f"""Host right
  HostName {places.right.address}
  Port {PORT}
  User {getpass.getuser()}
  IdentityFile {root / "user"}
  IdentitiesOnly yes
  UserKnownHostsFile {root / "known"}
  StrictHostKeyChecking accept-new
  LogLevel ERROR
"""


def _wait(ssh: Ssh, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_DEADLINE
    while True:
        done = subprocess.run(ssh.places.left.argv([*ssh.argv, "right", "true"]), capture_output=True, check=False)
        if done.returncode == 0:
            return
        if running.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-300:]
            raise BenchError(f"sshd does not start: {said} {done.stderr.decode(errors='replace')[-300:]}")
        time.sleep(0.05)
