# SPDX-License-Identifier: Apache-2.0
"""Hand a folder and a conversation from one device to another with HandoffV2.

Run it: python examples/handoff_v2.py

Both devices live in this process, with homes in a temporary directory; on two machines the code is the same, one half
on each, and ``Settings.peers`` is not needed where mDNS finds the other device.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from p2p_handoff import Agent, HandoffV2, LinkKind, Settings


async def main(place: Path) -> None:
    """Link two devices, then hand a session over."""
    desk = Settings("desktop", mdns=False, receive_dir=place / "desktop" / "received")
    async with Agent(place / "desktop" / "home", settings=desk) as desktop:
        lap = Settings("laptop", mdns=False, peers=(f"127.0.0.1:{desktop.port}",))
        async with Agent(place / "laptop" / "home", settings=lap) as laptop:
            await link(desktop, laptop)
            await laptop.start(make_session(place / "laptop"), "the evening's work")
            await hand_over(laptop, desktop)


async def hand_over(laptop: Agent, desktop: Agent) -> None:
    """Both halves: the source requests, the target accepts."""
    source, target = HandoffV2(laptop), HandoffV2(desktop)
    await source.init(source_client_id="laptop", target_client_id="desktop")
    await target.init(source_client_id="laptop", target_client_id="desktop")
    target.on("requestHandoff", lambda request: print(f"{request.peer} offers {request.title!r}"))
    report, data = await asyncio.gather(source.request_handoff(), target.accept_data())
    print(f"{data.title!r} arrived from {data.peer}; {report.peer} is its primary now, epoch {data.epoch}")
    for part in data.parts:
        print(f"- {part.type.value}: {part.path}")
        if part.type.value == "messages":
            print("".join(f"    {line.decode()}" for line in part.read_lines()), end="")
    print(f"frozen for {report.pause_ms:.0f} ms, {report.sent_bytes} bytes over {report.engine}")


async def link(shows: Agent, types: Agent) -> None:
    """One device shows a code, a person types it on the other."""
    code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(text: str) -> None:
        print(f"{shows.name} shows the code {text}")
        code.set_result(text)

    async def somebody_elses(_result: object) -> LinkKind:
        return LinkKind.OTHER  # The target is asked. LinkKind.OWN would accept without asking.

    opened = asyncio.create_task(shows.link(on_code=show, decide=somebody_elses))
    await types.link(await code, decide=somebody_elses)
    await opened


def make_session(place: Path) -> list[Path]:
    """A folder with work nobody committed, and a conversation."""
    project, talk = place / "project", place / "talk.jsonl"
    project.mkdir(parents=True)
    (project / "main.py").write_text("print('half an idea')\n")
    talk.write_text('{"role": "user", "text": "go on"}\n{"role": "assistant", "text": "gladly"}\n')
    return [project, talk]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
