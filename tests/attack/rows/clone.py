# SPDX-License-Identifier: Apache-2.0
"""A copied home: started again after a handoff, beside the device itself, or in its place."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import SessionId
from tests.attack.attack import Attack, Seen, hold
from tests.attack.scene import Scene, scene
from tests.attack.victim import Victim

_TRIES: Final = 3


def _second_on(home: Path) -> int:
    """Exit status of a second agent on a home that is in use."""
    words = [sys.executable, "-m", "p2p_handoff.agent", "--home", str(home), "--background", "--no-mdns"]
    return subprocess.run(words, capture_output=True, timeout=40, check=False).returncode


def _on_another_port(home: Path) -> None:
    config = home / "config.toml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("port")]
    config.write_text("\n".join(["port = 0", *lines, ""]))


async def _cannot_act(stage: Scene, old: Victim, session: SessionId, was: object, name: str) -> list[str]:
    """An old copy tries to hand over what is not its own any more; returns what it was told."""
    told = []
    for _ in range(_TRIES):
        try:
            report = await old.call("to", peer="intruder", session=session)
            hold(report["outcome"] != "done", f"{name} handed over a session that was another's")
            told.append(str(report["outcome"]))
        except HandoffError as error:
            told.append(type(error).__name__)
        hold(_owner(stage, session) == was, f"the owner lost its session to {name}")
    async with asyncio.timeout(20):
        while (await old.session("private"))["role"] == "primary":
            await asyncio.sleep(0.05)
    await old.check_sound()
    return told


def _owner(stage: Scene, session: SessionId) -> tuple[Any, ...]:
    """The session as its owner has it."""
    (known,) = [item for item in stage.intruder.sessions() if item.id == session]
    own = known.ownership
    return own.role.value, own.epoch, own.primary


async def play(root: Path) -> Seen:
    """A home is copied, its session handed over; then the copy runs beside the device, and in its place."""
    async with scene(root) as stage:
        home, copy = stage.victim.home, root / "clone" / "home"
        await stage.victim.stop()
        copy.parent.mkdir()
        shutil.copytree(home, copy)
        shutil.copytree(home, root / "backup")
        await stage.victim.start()
        session = SessionId((await stage.victim.session("private"))["session"])
        report = await stage.victim.call("to", peer="intruder", session=session)
        hold(report["outcome"] == "done", f"before the copy: {report}")
        was = _owner(stage, session)
        refused = await asyncio.to_thread(_second_on, home)
        hold(refused != 0, "two agents ran on one home")
        _on_another_port(copy)
        clone = Victim(copy, ())
        try:
            await clone.start()
            beside = await _cannot_act(stage, clone, session, was, "a clone")
        finally:
            await clone.stop()
        await stage.victim.check_sound()
        await stage.victim.stop()
        shutil.rmtree(home)
        shutil.copytree(root / "backup", home)
        await stage.victim.start()
        instead = await _cannot_act(stage, stage.victim, session, was, "a restored copy")
    return Seen(
        f"a second agent on one home: exit {refused}; a clone beside the device ({', '.join(beside)}) and a restored "
        f"home ({', '.join(instead)}) hand nothing over; both learn that the session is another's, who keeps it"
    )


ATTACKS: Final = (
    Attack(
        "clone",
        "copied or restored home",
        "starts an old copy of a device beside it and in its place, and hands over what it owned once",
        "nothing is handed over, the owner keeps the session, the copy learns that it is old",
        play,
    ),
)
