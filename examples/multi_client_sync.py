# SPDX-License-Identifier: Apache-2.0
"""Change the primary of a session with MultiClientSyncHandler.

Run it: python examples/multi_client_sync.py

The first request is rejected, the second accepted by its token. Both devices live in this process, with homes in a
temporary directory; on two machines the code is the same, one half on each.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from p2p_handoff import Agent, LinkKind, MultiClientSyncHandler, RejectedError, Settings


async def main(place: Path) -> None:
    """Link two devices, be rejected, be accepted."""
    desk = Settings("desktop", mdns=False, receive_dir=place / "desktop" / "received")
    async with Agent(place / "desktop" / "home", settings=desk) as desktop:
        lap = Settings("laptop", mdns=False, peers=(f"127.0.0.1:{desktop.port}",))
        async with Agent(place / "laptop" / "home", settings=lap) as laptop:
            await link(desktop, laptop)
            await laptop.start([make_folder(place / "laptop" / "notes")])
            mine = MultiClientSyncHandler.instance(laptop)
            theirs = MultiClientSyncHandler.instance(desktop)
            await rejected(mine, theirs)
            await accepted(mine, theirs)


async def rejected(mine: MultiClientSyncHandler, theirs: MultiClientSyncHandler) -> None:
    """The other side says no; nothing changes."""
    stop = theirs.on("handoffRequest", lambda request: theirs.reject_handoff(request.token, "I am on a train"))
    try:
        await mine.initiate_handoff("desktop")
    except RejectedError as error:
        print(error.sentence)
    stop()
    print(f"the laptop is {mine.role()} still")


async def accepted(mine: MultiClientSyncHandler, theirs: MultiClientSyncHandler) -> None:
    """The other side says yes by token."""
    theirs.on("handoffRequest", lambda request: theirs.accept_handoff(request.token))
    mine.on("primaryChanged", lambda change: print(f"the primary is {change.primary[:8]} now, epoch {change.epoch}"))
    report = await mine.initiate_handoff("desktop")
    print(f"{report.title!r} is with {report.peer} after {report.seconds:.2f} s")
    print(f"the laptop is {mine.role()}, the desktop is {theirs.role()}")


async def link(shows: Agent, types: Agent) -> None:
    """One device shows a code, a person types it on the other."""
    code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(text: str) -> None:
        code.set_result(text)

    async def somebody_elses(_result: object) -> LinkKind:
        return LinkKind.OTHER  # The target is asked. LinkKind.OWN would accept without asking.

    opened = asyncio.create_task(shows.link(on_code=show, decide=somebody_elses))
    await types.link(await code, decide=somebody_elses)
    await opened


def make_folder(path: Path) -> Path:
    """Something to hand over."""
    path.mkdir(parents=True)
    (path / "todo.txt").write_text("water the plants\n")
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
