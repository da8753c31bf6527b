# SPDX-License-Identifier: Apache-2.0
"""The stage of an attack by a linked device: a real agent with a session of its own, and an intruder linked with it.

The intruder has a home, keys and an agent like any device's, in the process of the attack: what it says is as genuine
as its owner likes (speaker.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import UnreachableError
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol.messages import Message
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, fill, introduce, tree
from tests.attack.attack import hold
from tests.attack.speaker import Speaker
from tests.attack.victim import Victim, configure

FILES = {"notes.txt": b"dear diary\n", "src/main.py": b"print('hello')\n"}


@dataclass(slots=True)
class Scene:
    """What an attack has to do with."""

    root: Path
    devices: Devices
    victim: Victim
    intruder: Agent
    device: Any
    """The victim's."""
    _was: dict[str, Any]
    _answers: set[asyncio.Task[Any]] = field(default_factory=set)

    async def wire(self) -> Wire:
        """An open connection of the intruder to the victim."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(UnreachableError):
                    return await self.intruder.parts.dialer.connect(self.device)
                await asyncio.sleep(0.02)

    async def speaker(self) -> Speaker:
        """Somebody who says anything on an open connection."""
        return Speaker(await self.wire())

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Message]]:
        """What the victim says to the intruder, whose own agent hears none of it."""
        heard: asyncio.Queue[Message] = asyncio.Queue()

        def hear(_wire: Wire, message: Message) -> None:
            heard.put_nowait(message)

        contacts = self.intruder.parts.contacts
        honest = contacts.message_received
        contacts.message_received = hear  # type: ignore[method-assign,assignment]  # somebody else listens
        try:
            yield heard
        finally:
            contacts.message_received = honest  # type: ignore[method-assign]  # as it was

    async def accept(self, session: SessionId) -> None:
        """The victim's user says yes to what is offered of a session."""
        async with asyncio.timeout(20):
            while True:
                for request in (await self.victim.call("requests"))["requests"]:
                    if request["session"] == session:
                        task = asyncio.create_task(self.victim.call("accept", token=request["token"]))
                        self._answers.add(task)
                        task.add_done_callback(self._answered)
                        return
                await asyncio.sleep(0.02)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._answers.discard(task)
        if not task.cancelled():
            task.exception()  # How it ended is looked at from the outside.

    async def check_untouched(self) -> None:
        """The victim lives, and its own session is what it was."""
        await self.victim.check_sound()
        hold(await standing(self.victim, self.root) == self._was, "the victim's own session is not what it was")


async def standing(victim: Victim, root: Path) -> dict[str, Any]:
    """The victim's own session as its user would look at it."""
    session = await victim.session("private")
    kept = {key: session[key] for key in ("session", "role", "epoch", "primary", "paths", "root")}
    history = await victim.call("history", session=session["session"], verify=True)
    return {**kept, "history": len(history["history"]), "files": tree(root / "victim" / "private")}


@asynccontextmanager
async def scene(
    root: Path,
    *,
    kind: LinkKind = LinkKind.OWN,
    engine: str = "aiortc",
    intruders: str = "",
    told: bool = True,
    relays: Sequence[str] = (),
    joined: bool = True,
    name: str = "intruder",
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    foreground: bool = False,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """Set the stage.

    Args:
        root: An empty directory.
        kind: What the victim takes the intruder for.
        engine: Of both.
        intruders: Engine of the intruder, if it is another one.
        told: Whether the intruder knows where the victim listens.
        relays: Shared ones, of the victim.
        joined: Whether the intruder is at them, too.
        name: The intruder's.
        options: Of the victim's agent.
        environment: More of the victim's.
        foreground: Whether its agent shows people what happens.
        settings: More of the victim's.
    """
    async with Devices(root) as devices:
        shared = tuple(relays) if joined else ()
        intruder = await devices.start("intruder", engine=intruders or engine, display=name, relays=shared)
        guise = await devices.start("victim", engine=engine)
        introduce(intruder, guise, kind, told=told)
        device, port = guise.device, guise.port
        await devices.stop("victim")
        home = root / "victim" / "home"
        configure(
            home,
            {
                "name": "victim",
                "receive_dir": str(root / "victim" / "received"),
                "mdns": False,
                "engine": engine,
                "port": port,
                "relays": list(relays),
                **settings,
            },
        )
        victim = Victim(home, options, environment, foreground=foreground)
        try:
            await victim.start()
            folder = fill(root / "victim" / "private", FILES)
            talk = root / "victim" / "talk.jsonl"
            talk.write_bytes(b"".join(conversation_lines(3)))
            await victim.call("start", paths=[str(folder), str(talk)], title="private")
            yield Scene(root, devices, victim, intruder, device, await standing(victim, root))
        finally:
            await victim.stop()
