# SPDX-License-Identifier: Apache-2.0
"""A device whose keys are in a real keyring: the Secret Service of a desktop, by real commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from p2p_handoff.errors import ExitCode

pytestmark = pytest.mark.skipif(
    shutil.which("dbus-run-session") is None or shutil.which("gnome-keyring-daemon") is None,
    reason="needs dbus-run-session and gnome-keyring-daemon",
)
_UNLOCK: Final = 'printf %s "$PASSWORD" | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec "$@"'
_COMMANDS: Final = """
import json, subprocess, sys
for words in json.loads(sys.argv[1]):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60)
    print(json.dumps([done.returncode, done.stdout, done.stderr]))
"""
_CONFORMANCE: Final = """
from p2p_handoff.store.keyring_entry import open_keyring
from tests.store.keyring_conformance import check_keyring
keyring = open_keyring()
check_keyring(keyring)
print(keyring.name)
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    error: str

    @property
    def result(self) -> Any:
        """Its last line of JSON."""
        return json.loads(self.out.strip().splitlines()[-1])


@dataclass(frozen=True, slots=True)
class Desktop:
    """A person's account, with a login keyring of its own."""

    home: Path

    def session(self, *commands: list[str], password: str = "correct") -> list[Done]:
        """Run commands one after the other in a new desktop session, whose keyring the password unlocks."""
        runtime = self.home / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DBUS_", "PYTHON_KEY"))}
        environment |= {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "PASSWORD": password,
        }
        argv = ["dbus-run-session", "--", "bash", "-c", _UNLOCK, "bash", sys.executable, "-c", _COMMANDS]
        argv.append(json.dumps(commands))
        run = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment, timeout=110)
        assert run.returncode == 0, run.stderr
        return [Done(*json.loads(line)) for line in run.stdout.splitlines()]


@pytest.fixture
def desktop(tmp_path: Path) -> Desktop:
    """A new account, whose agent tells the network nothing."""
    home = tmp_path / "data" / "p2p-handoff"
    home.mkdir(mode=0o700, parents=True)
    (home / "config.toml").write_text("mdns = false\n")
    return Desktop(tmp_path)


def handoff(*words: str) -> list[str]:
    """A command on the account's own device."""
    return ["-m", "p2p_handoff.cli.main", *words]


WHOAMI, STOP = handoff("whoami", "--json"), handoff("agent", "stop")


def test_the_secret_service_of_a_desktop_does_what_is_asked_of_a_keyring(desktop: Desktop) -> None:
    (done,) = desktop.session(["-c", _CONFORMANCE])
    assert done.code == 0, done.error
    assert "SecretService" in done.out


def test_keys_go_into_the_keyring_of_a_desktop_and_are_not_replaced_while_it_is_locked(desktop: Desktop) -> None:
    place = desktop.home / "data" / "p2p-handoff"
    first, _ = desktop.session(WHOAMI, STOP)
    assert first.code == 0, first.error
    assert first.result["keys"] == "keyring"
    assert "SecretService" in first.result["keys_in"]
    assert (place / "identity.keyring").is_file()
    assert not (place / "identity").exists()
    (locked,) = desktop.session(WHOAMI, password="wrong")
    assert locked.code == ExitCode.TRUST
    assert "is locked or refused" in locked.out + locked.error
    assert not (place / "identity").exists()
    again, _ = desktop.session(WHOAMI, STOP)
    assert again.result["device"] == first.result["device"]


def test_keys_move_out_of_the_keyring_of_a_desktop_and_into_it_again(desktop: Desktop) -> None:
    to_file, to_keyring = handoff("config", "set", "keys", "file"), handoff("config", "set", "keys", "keyring")
    first, _, _, second, _, _, third, _ = desktop.session(WHOAMI, to_file, STOP, WHOAMI, to_keyring, STOP, WHOAMI, STOP)
    assert [done.result["keys"] for done in (first, second, third)] == ["keyring", "file", "keyring"]
    assert len({done.result["device"] for done in (first, second, third)}) == 1
