# SPDX-License-Identifier: Apache-2.0
"""Print everything that two agents tell while a folder goes from one to the other and back.

Run it: python examples/watch_events.py. ``handoff events`` prints the same of a running agent.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2p_handoff import Agent, LinkKind, Settings

WIDTH = 60


async def main(place: Path) -> None:
    """Watch two devices of one person."""
    desk = Settings("desktop", mdns=False, receive_dir=place / "desktop" / "received")
    async with Agent(place / "desktop" / "home", settings=desk) as desktop:
        lap = Settings("laptop", mdns=False, peers=(f"127.0.0.1:{desktop.port}",))
        async with Agent(place / "laptop" / "home", settings=lap) as laptop:
            ended: asyncio.Queue[str] = asyncio.Queue()
            for agent in (desktop, laptop):
                watch(agent, ended)
            await link(desktop, laptop)
            await laptop.to("desktop", make_folder(place / "laptop" / "notes"))
            await laptop.take("notes")
            for _ in range(4):  # Each side tells of each handoff, and the other side's word may come a moment later.
                await ended.get()


def watch(agent: Agent, ended: asyncio.Queue[str]) -> None:
    """Print every event of an agent, and note every end of a handoff; a coroutine function would do as well."""

    def show(name: str, fields: Mapping[str, Any]) -> None:
        told = ", ".join(f"{key}={str(value)[:WIDTH]}" for key, value in fields.items() if value not in ("", [], 0))
        print(f"{agent.name:8} {name:15} {told}")
        if name == "handoff":
            ended.put_nowait(agent.name)

    agent.subscribe(show)


async def link(shows: Agent, types: Agent) -> None:
    """One device shows a code, a person types it on the other."""
    code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(text: str) -> None:
        code.set_result(text)

    async def my_own(_result: object) -> LinkKind:
        return LinkKind.OWN

    opened = asyncio.create_task(shows.link(on_code=show, decide=my_own))
    await types.link(await code, decide=my_own)
    await opened


def make_folder(path: Path) -> Path:
    """Something to hand over."""
    path.mkdir(parents=True)
    (path / "todo.txt").write_text("water the plants\n")
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
