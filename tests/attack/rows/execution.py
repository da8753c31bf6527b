# SPDX-License-Identifier: Apache-2.0
"""Nothing received is ever executed: programs that would leave a mark, wherever something might run them."""

from __future__ import annotations

import asyncio
import json
import shlex
import stat
from pathlib import Path
from typing import Final

from tests.agent.devices import fill
from tests.attack.attack import Attack, Seen, hold
from tests.attack.scene import scene

_FOLDER: Final = "{path} $(touch MARK) ;`touch MARK`& --exec=MARK"
_HOOKS: Final = ("post-checkout", "post-merge", "pre-commit", "post-index-change", "fsmonitor-watchman", "update")
_RUN_BY_TOOLS: Final = (
    "Makefile",
    ".envrc",
    "sitecustomize.py",
    "usercustomize.py",
    "conftest.py",
    "setup.py",
    ".vscode/tasks.json",
    "package.json",
    ".npmrc",
    "resume",
    "resume.sh",
    "handoff",
    "git",
    "python3",
    "config.toml",
)


def _traps(mark: Path) -> dict[str, bytes]:
    """Files that leave a mark when anything runs them, or reads them as its configuration."""
    script = f"#!/bin/sh\ntouch {shlex.quote(str(mark))}\n".encode()
    config = (
        f"[core]\n\tfsmonitor = touch {mark}\n\thooksPath = .git/hooks\n"
        f"\tpager = touch {mark}\n\teditor = touch {mark}\n"
        f'\tsshCommand = touch {mark}\n[filter "evil"]\n\tclean = touch {mark}\n'
        f"\tsmudge = touch {mark}\n\trequired = true\n"
        f"[diff]\n\texternal = touch {mark}\n[alias]\n\tstatus = !touch {mark}\n"
    ).encode()
    return {
        "README": b"nothing to see\n",
        ".git/HEAD": b"ref: refs/heads/main\n",
        ".git/config": config,
        ".git/objects/info/alternates": b"/etc\n",
        ".git/refs/heads/main": b"0" * 40 + b"\n",
        ".gitattributes": b"* filter=evil diff=evil merge=evil\n",
        **{f".git/hooks/{hook}": script for hook in _HOOKS},
        **dict.fromkeys(_RUN_BY_TOOLS, script),
    }


async def arrival(root: Path) -> Seen:
    """A folder full of traps arrives twice, is pictured and goes back, while a resume command is configured."""
    mark, ran = root / "mark", root / "ran"
    command = root / "command.py"
    command.write_text(
        "#!/usr/bin/env python3\nimport json, os, sys\n"
        f"with open({str(ran)!r}, 'a') as file:\n"
        "    file.write(json.dumps([sys.argv[1:], dict(os.environ)]) + '\\n')\n"
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    resume = {"folder": [str(command), "--open", "{path}"]}
    environment = {"HANDOFF_CANARY": "secret of the agent", "LD_CANARY": "x", "PYTHONSTARTUP": "/nowhere"}
    async with scene(root, environment=environment, resume=resume) as stage:
        folder = fill(root / "intruder" / "things" / _FOLDER.replace("/", "_"), _traps(mark))
        for path in folder.rglob("*"):
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        report = await asyncio.wait_for(stage.intruder.to("victim", folder), 30)
        hold(report.outcome == "done", f"the folder did not arrive: {report.text}")
        async with asyncio.timeout(20):
            while not ran.exists() or not ran.read_text().endswith("\n"):
                await asyncio.sleep(0.02)
        session = await stage.victim.session(report.title)
        arrived = Path(session["paths"][0])
        (arrived / "README").write_bytes(b"edited here\n")
        await stage.victim.call("to", peer="intruder", session=session["session"])
        await stage.check_untouched()
    runs = [json.loads(line) for line in ran.read_text().splitlines()]
    hold(not mark.exists() and not list(root.rglob("MARK")), "something that was received has run")
    hold(len(runs) == 1, f"the configured command ran {len(runs)} times")
    argv, seen = runs[0]
    hold(argv == ["--open", str(arrived)], f"the command was given {argv}")
    leaked = [name for name in seen if "CANARY" in name or name.startswith(("PYTHON", "HANDOFF"))]
    hold(not leaked, f"the command got {leaked} in its environment")
    return Seen(
        f"{len(_traps(mark))} traps, 0 ran; the user's own command ran once, its path one argument of {argv[1][-40:]!r}"
    )


ATTACKS: Final = (
    Attack(
        "execution",
        "linked device",
        "sends programs, git hooks and settings, and a folder whose name is a command line",
        "none runs; the configured command gets one argument and a clean environment",
        arrival,
    ),
)
