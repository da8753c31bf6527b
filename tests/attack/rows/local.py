# SPDX-License-Identifier: Apache-2.0
"""Another user of the same machine, and whoever reads what a process shows of itself."""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import os
import re
import resource
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from tests.attack.attack import Attack, Seen, hold
from tests.attack.scene import scene

_NOBODY: Final = 65534
_TURN_PASSWORD: Final = "a-password-for-turn-servers"
_NO_CORE: Final = re.compile(r"^Max core file size +0 ", re.MULTILINE)


def _spy(out: Connection, home: Path, control: Path, pid: int) -> None:
    """Become another user, try everything, and say what succeeded. Runs in a process of its own."""
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    process = Path(f"/proc/{pid}")
    deeds: dict[str, Callable[[], object]] = {
        "list the home": lambda: os.listdir(home),
        "list the socket's directory": lambda: os.listdir(control.parent),
        "connect to the socket": lambda: _connect(control),
        "replace the socket": lambda: control.rename(control.with_suffix(".gone")),
        "write beside the socket": lambda: control.with_suffix(".new").touch(),
        "read its environment": lambda: (process / "environ").read_bytes(),
        "read its memory": lambda: (process / "mem").open("rb"),
        "read its memory's map": lambda: (process / "maps").read_bytes(),
        "list its descriptors": lambda: os.listdir(process / "fd"),
        "see where it is": lambda: (process / "cwd").readlink(),
        "signal it": lambda: os.kill(pid, 0),
        **{f"read {path}": path.read_bytes for path in _FILES_OF.get(str(home), [])},
    }
    out.send([name for name, deed in deeds.items() if _succeeds(deed)])


_FILES_OF: Final[dict[str, list[Path]]] = {}
"""Looked up before the spy becomes somebody who cannot."""


def _succeeds(deed: Callable[[], object]) -> bool:
    try:
        deed()
    except OSError:
        return False
    return True


def _connect(control: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(control))


async def second_user(root: Path) -> Seen:
    """A process of another user tries all that a process can."""
    hold(os.geteuid() == 0, "this attack needs root, to become another user")
    root.chmod(0o755)
    async with scene(root) as stage:
        (root / "victim").chmod(0o755)
        control = socket_path(stage.victim.home)
        home = stage.victim.home
        _FILES_OF[str(home)] = [path for path in home.rglob("*") if path.is_file()]
        here, there = multiprocessing.Pipe(duplex=False)
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=_spy, args=(there, home, control, stage.victim.pid))
        process.start()
        got = await asyncio.to_thread(here.recv)
        process.join()
        hold(not got, f"another user could: {', '.join(got)}")
        await stage.check_untouched()
        modes = {path.name: path.stat().st_mode & 0o777 for path in [home, *home.glob("*key*")]}
    hold(all(mode & 0o077 == 0 for mode in modes.values()), f"modes: {modes}")
    told = ", ".join(f"{name} {mode:04o}" for name, mode in modes.items())
    return Seen(f"0 of {len(_FILES_OF[str(home)])} files read, nothing connected, replaced or signalled; {told}")


async def shown(root: Path) -> Seen:
    """Keys, codes and the password for TURN servers are looked for in all that the agent shows."""
    home = root / "victim" / "home"
    home.mkdir(mode=0o700, parents=True)
    (home / "turn-credential").write_text(_TURN_PASSWORD)
    (home / "turn-credential").chmod(0o600)
    turn = {"servers": ["turn:127.0.0.1:9"], "user": "somebody"}
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))  # The agent is started where a crash leaves an image.
    async with scene(root, options=("--log-level", "debug"), turn=turn) as stage:
        codes: list[str] = []

        def heard(name: str, fields: Any) -> None:
            if name == "code":
                codes.append(fields["code"])

        client = Client(socket_path(stage.victim.home))
        linking = asyncio.create_task(asyncio.to_thread(client.call, "link", {}, on_event=heard, timeout=30.0))
        async with asyncio.timeout(20):
            while not codes:
                await asyncio.sleep(0.02)
        await stage.speaker()
        process = Path(f"/proc/{stage.victim.pid}")
        shown_by = {
            "argv": process.joinpath("cmdline").read_bytes(),
            "environment": process.joinpath("environ").read_bytes(),
            "log": stage.victim.words().encode(),
            "title": process.joinpath("comm").read_bytes(),
        }
        limits = process.joinpath("limits").read_text()
        hold(_NO_CORE.search(limits), "a crash would leave an image of the process")
        client.give_up()
        await asyncio.gather(linking, return_exceptions=True)
        os.kill(stage.victim.pid, 6)
        async with asyncio.timeout(20):
            while stage.victim.runs:
                await asyncio.sleep(0.02)
        shown_by["crash output"] = stage.victim.words().encode()
        keys = [
            path.read_bytes() for path in stage.victim.home.iterdir() if path.is_file() and b"key" in path.name.encode()
        ]
        keys += [path.read_bytes() for path in stage.victim.home.glob("identity*") if path.is_file()]
        hold(keys, "the key file was not found")
        secrets = [form for key in keys for form in _forms(key)] + [codes[0].partition("-")[2].encode()]
        secrets.append(_TURN_PASSWORD.encode())
    leaks = [f"{place} has {secret[:6]!r}…" for place, data in shown_by.items() for secret in secrets if secret in data]
    hold(not leaks, f"a secret stands in: {sorted(set(leaks))}")
    return Seen(f"{len(secrets)} forms of keys and code words: 0 in {', '.join(shown_by)}")


def _forms(key: bytes) -> list[bytes]:
    """Every run of 16 bytes of a key that would tell it, raw, in hexadecimal and in base64."""
    pieces = [key[start : start + 16] for start in range(0, len(key) - 16, 16)]
    plain = [piece for piece in pieces if len(set(piece)) > 8]
    return [*plain, *(piece.hex().encode() for piece in plain), *(base64.b64encode(piece)[:20] for piece in plain)]


ATTACKS: Final = (
    Attack(
        "local-second-user",
        "other local user",
        "reads files and /proc, connects to the socket, replaces it, signals the agent",
        "nothing of it succeeds",
        second_user,
    ),
    Attack(
        "local-secrets-shown",
        "other local user",
        "looks for keys, link codes and passwords in argv, environment, debug log, crash output and core files",
        "0 hits",
        shown,
    ),
)
