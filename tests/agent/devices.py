# SPDX-License-Identifier: Apache-2.0
"""Devices on one machine: real agents with homes of their own, real relays and a real engine on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from p2p_handoff.adapters.watcher import COOKIE_PREFIX
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.wire import Wire
from p2p_handoff.engines.base import Engine
from p2p_handoff.errors import UnreachableError
from p2p_handoff.protocol.connection import PROTOCOL_VERSIONS
from p2p_handoff.protocol.messages import Message
from p2p_handoff.security.link_terms import LinkKind, LinkResult
from p2p_handoff.settings.config import Settings
from p2p_handoff.store.records import LinkedDevice

Event = tuple[str, Mapping[str, Any]]


class Pair(NamedTuple):
    """Two devices that know each other."""

    laptop: Agent
    desktop: Agent


class Devices:
    """Starts, stops and restarts agents by name; all stop at the end of the block.

    Args:
        root: Holds a directory per device: its home and its ``received`` directory.
        engine: Used by all of them instead of the real one.
    """

    def __init__(self, root: Path, engine: Engine | None = None) -> None:
        self._root = root
        self._engine = engine
        self._running: dict[str, Agent] = {}
        self._settings: dict[str, Settings] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            await self.stop(name)

    async def start(
        self, name: str, *, versions: tuple[int, ...] = PROTOCOL_VERSIONS, display: str = "", **settings: Any
    ) -> Agent:
        """A running agent; the same name again keeps its home and its port. ``display`` is its other name."""
        place = self._root / name
        known = self._settings.get(name)
        base = {"engine": "aiortc", "receive_dir": place / "received", "mdns": False}
        chosen = Settings(name=display or name, port=known.port if known else 0, **{**base, **settings})
        agent = await Agent(place / "home", settings=chosen, versions=versions, engine=self._engine).__aenter__()
        self._running[name] = agent
        self._settings[name] = Settings(name=name, port=agent.port)
        return agent

    async def stop(self, name: str) -> None:
        """Stop an agent as a clean shutdown does."""
        await self._running.pop(name).__aexit__(None, None, None)

    def path(self, name: str, *parts: str) -> Path:
        """A path among the things of a device; its parent exists."""
        path = self._root.joinpath(name, "things", *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def introduce(one: Agent, other: Agent, kind: LinkKind = LinkKind.OWN, *, told: bool = True) -> None:
    """Link two agents as the code exchange would, and, if they are ``told``, each knows where the other listens."""
    for mine, peer in ((one, other), (other, one)):
        public = peer.identity.public
        mine.store.links.add(LinkedDevice(peer.device, public.to_bytes(), peer.name, kind, time.time()))
        if told:
            mine.store.addresses.remember(peer.device, f"ws://127.0.0.1:{peer.port}/v1", at=time.time())


async def link_by_code(opener: Agent, joiner: Agent, kind: LinkKind = LinkKind.OWN) -> None:
    """Link two agents through a real code; the joiner must know the opener's address (``Settings.peers``)."""
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    async def decide(_result: LinkResult) -> LinkKind:
        return kind

    opening = asyncio.create_task(opener.link(on_code=show, decide=decide))
    await joiner.link(await shown, decide=decide)
    await opening


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is true.

    Raises:
        TimeoutError: It does not become true in time.
    """
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for may be a row of a database
            await asyncio.sleep(0.005)


async def event(agent: Agent, name: str, seconds: float = 10.0) -> Mapping[str, Any]:
    """The fields of the next event of a name.

    Raises:
        TimeoutError: None comes in time.
    """
    future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

    def heard(fields: Mapping[str, Any]) -> None:
        if not future.done():
            future.set_result(fields)

    cancel = agent.on(name, heard)
    try:
        return await asyncio.wait_for(future, seconds)
    finally:
        cancel()


def fill(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files under a new folder."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def bytes_of(path: Path) -> bytes:
    """What a file holds."""
    return path.read_bytes()


def tree(folder: Path | str) -> dict[str, bytes]:
    """What the files under a folder hold, by relative path, without the cookies of a watcher.

    A file that goes away while this looks is gone.
    """
    root = Path(folder)
    found: dict[str, bytes] = {}
    for place, _, names in os.walk(root):
        for name in names:
            path = Path(place, name)
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not name.startswith(COOKIE_PREFIX):
                    found[str(path.relative_to(root))] = path.read_bytes()
    return found


def deaf_to(agent: Agent, *kinds: type[Message], times: int = 1_000_000) -> Callable[[], None]:
    """Lose the first messages of some kinds that reach an agent; call it before the devices connect.

    Returns:
        A function that ends the loss.
    """
    received = agent.handoffs.message_received
    left = times

    def lossy(wire: Wire, message: Message) -> None:
        nonlocal left
        if isinstance(message, kinds) and left > 0:
            left -= 1
            return
        received(wire, message)

    def hear() -> None:
        nonlocal left
        left = 0

    agent.handoffs.message_received = lossy  # type: ignore[method-assign]  # a fault between the wire and the agent
    return hear


def lose(agent: Agent, *kinds: type[Message], sender: Agent) -> None:
    """Lose all messages of some kinds that one device sends to an agent, whatever wire they come by."""
    contacts = agent.parts.contacts
    received = contacts.message_received

    def lossy(wire: Wire, message: Message) -> None:
        if not (isinstance(message, kinds) and wire.peer == sender.device):
            received(wire, message)

    contacts.message_received = lossy  # type: ignore[method-assign]  # a fault between the wire and the agent


M = TypeVar("M", bound=Message)


def heard_by(agent: Agent, kind: type[M]) -> list[M]:
    """The messages of a kind that reach an agent from now on."""
    contacts = agent.parts.contacts
    received = contacts.message_received
    heard: list[M] = []

    def listening(wire: Wire, message: Message) -> None:
        if isinstance(message, kind):
            heard.append(message)
        received(wire, message)

    contacts.message_received = listening  # type: ignore[method-assign]  # an ear between the wire and the agent
    return heard


async def meet(one: Agent, other: Agent) -> Wire:
    """Connect two linked agents; returns the wire of the first.

    Raises:
        TimeoutError: They cannot reach each other.
    """
    async with asyncio.timeout(10):
        while True:
            # An attempt of its own that began while the other one was away may be joined.
            with contextlib.suppress(UnreachableError):
                return await one.parts.dialer.connect(other.device)
            await asyncio.sleep(0.01)


def pull_cable(agent: Agent, peer: Agent) -> None:
    """Break the open connection of two agents as a lost network does."""
    wire = agent.parts.dialer.wire(peer.device)
    assert wire is not None
    wire.connection_lost("the cable was pulled")


def failing(error: Exception, times: int, then: Any) -> Any:
    """A function that raises some times before it does what it should."""
    left = times

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return then(*args, **kwargs)

    return call
