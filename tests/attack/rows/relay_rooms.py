# SPDX-License-Identifier: Apache-2.0
"""A relay between two devices that link: it changes every field of every message, and guesses what it can."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from p2p_handoff.agent import code_rooms
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.link_desk import LinkDesk
from p2p_handoff.agent.linking import join_code, open_code
from p2p_handoff.agent.network import LOGIN_CONTEXT
from p2p_handoff.agent.relays import Relays
from p2p_handoff.errors import HandoffError
from p2p_handoff.rendezvous.client import RelayClient
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind, LinkOutcome, LinkResult, Purpose
from p2p_handoff.security.words import LinkCode
from signaling import port as ports
from signaling import switchboard
from tests.agent.devices import Devices
from tests.attack.attack import Attack, Seen, hold
from tests.attack.changes import Case, Fields, Passed, cases_from, noting, nth, tampering
from tests.attack.rows.relay_needles import needles_of
from tests.attack.tampering import HostileRelay, Tamper, genuine, hostile_relay

_LANES: Final = 8
_PATIENCE: Final = 0.6
"""Seconds for an answer of the relay, in the process of the attack."""
_CONVERSATION: Final = 2.0
"""Seconds for all of a conversation: those that a message is missing in do not end by themselves."""
_NAMES: Final = ("Opening-Device-Of-Ann", "Joining-Device-Of-Bob")
_MESSAGES: Final = 4
"""Messages of each side in a room."""
_LENGTHY: Final = ("its first bit", "made longer", "with a field more", "negative", "2^40", "of another message")
"""Changes that say nothing more here than others: two devices that link cost some work."""


# --- two devices, without agents ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _At:
    """The one relay that a device knows."""

    embedded: RelayClient
    """Where a code is opened."""
    elsewhere: Sequence[RelayClient] = ()

    async def wait_shared(self, _seconds: float) -> None:
        """It is there."""

    def shared(self) -> Sequence[RelayClient]:
        """Where a code is looked for."""
        return self.elsewhere


@dataclass(slots=True)
class Lane:
    """A relay, the devices that link over it, and what came of that."""

    relay: HostileRelay
    opener: Identity = field(default_factory=Identity.generate)
    joiner: Identity = field(default_factory=Identity.generate)
    tried: int = 0
    linked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def whose(self, device: str) -> str:
        """Which of the two a device is."""
        return "opener" if device == self.opener.device else "joiner"

    async def genuine(self) -> Passed:
        """Link without tampering until it works; returns the messages that passed."""
        async with asyncio.timeout(40):
            while True:
                passed: Passed = []
                self.relay.tamper = noting(self.relay, self.whose, passed)
                outcomes = await self.link()
                if all(outcomes):
                    self._check(outcomes, "without tampering")
                    return passed

    async def play(self, case: Case) -> None:
        """Tamper with the exchange of one code."""
        self.relay.tamper = tampering(self.relay, self.whose, case)
        outcomes = await self.link()
        self.tried += 1
        if all(outcomes):
            self.linked.append(str(case))
            if case.fatal:
                self.wrong.append(str(case))
        self._check(outcomes, str(case))

    async def link(self) -> tuple[LinkOutcome | None, LinkOutcome | None]:
        """One code, from the login to the end."""
        shown: asyncio.Future[LinkCode] = asyncio.get_running_loop().create_future()
        opening = asyncio.create_task(self._open(shown))
        joining = asyncio.create_task(self._join(shown))
        try:
            return await opening, await joining
        finally:
            shown.cancel()

    async def _open(self, shown: asyncio.Future[LinkCode]) -> LinkOutcome | None:
        async def show(code: LinkCode) -> None:
            shown.set_result(code)

        try:
            async with self._logged_in(self.opener) as client:
                desk = _desk(self.opener, _NAMES[0], _At(client))
                return await _outcome(open_code(desk, Purpose.LINK, show, _decide))
        except HandoffError:
            return None
        finally:
            shown.cancel()

    async def _join(self, shown: asyncio.Future[LinkCode]) -> LinkOutcome | None:
        with contextlib.suppress(HandoffError, asyncio.CancelledError):
            code = await shown
            async with self._logged_in(self.joiner) as client:
                desk = _desk(self.joiner, _NAMES[1], _At(client, (client,)))
                return await _outcome(join_code(desk, Purpose.LINK, code, _decide))
        return None

    @asynccontextmanager
    async def _logged_in(self, identity: Identity) -> AsyncIterator[RelayClient]:
        def sign(message: bytes) -> bytes:
            return identity.sign(LOGIN_CONTEXT, message)

        key = identity.public.identity_key
        async with RelayClient.connect(self.relay.url, key, sign, deadline=_PATIENCE) as client:
            yield client

    def _check(self, outcomes: tuple[LinkOutcome | None, LinkOutcome | None], words: str) -> None:
        """Who is linked is linked with the other one."""
        for outcome, peer, name in zip(outcomes, (self.joiner, self.opener), reversed(_NAMES), strict=True):
            if outcome is not None and (outcome.peer, outcome.peer_name) != (peer.public, name):
                self.wrong.append(f"{words}: linked with {outcome.peer.device}, {outcome.peer_name!r}")


def _desk(identity: Identity, name: str, relays: _At) -> LinkDesk:
    async def announce(_room: object) -> None:
        """Nobody looks."""

    return LinkDesk(
        identity=identity,
        name=lambda: name,
        relays=cast("Relays", relays),
        room_urls=lambda _nameplate: (),
        manual=(),
        look=lambda: None,
        announce=announce,
        entropy=os.urandom,
        clock=time.monotonic,
        ended=lambda _device: 0,
        tried=lambda _sentence: None,
        disturbed=lambda _sentence: None,
    )


async def _decide(_result: LinkResult) -> LinkKind:
    return LinkKind.OWN


async def _outcome(conversation: Coroutine[Any, Any, LinkOutcome]) -> LinkOutcome | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CONVERSATION):
            return await conversation
    return None


def _room_cases(conversations: Sequence[Passed]) -> list[Case]:
    """What is done to the messages of rooms; those of logins are tampered with at dials."""
    made = []
    for case in cases_from(conversations):
        if case.place.kind in {"challenge", "login", "welcome"} or any(words in case.deed for words in _LENGTHY):
            continue
        made.append(case)
        if case.place.kind == "room_send" and case.deed in {"data its last bit", "data of an earlier one", "dropped"}:
            made += [nth(case, number) for number in range(_MESSAGES)]
    return made


async def _every_field(lanes: Sequence[Lane]) -> str:
    conversations = [await lanes[0].genuine() for _ in range(3)]
    cases = _room_cases(conversations)
    waiting = list(cases)

    async def work(lane: Lane) -> None:
        while waiting:
            await lane.play(waiting.pop())

    await asyncio.gather(*(work(lane) for lane in lanes))
    await asyncio.gather(*(lane.genuine() for lane in lanes))
    wrong = [words for lane in lanes for words in lane.wrong]
    hold(not wrong, f"{len(wrong)} links were made: {wrong[:5]}")
    learnt = [word for word in needles_of(*_NAMES) for lane in lanes if word in lane.relay.seen]
    hold(not learnt, f"the relay learnt {learnt}")
    linked = sum(len(lane.linked) for lane in lanes)
    fatal = sum(case.fatal for case in cases)
    return (
        f"{len(cases)} codes with a changed message, {fatal} of them with what is sealed: 0 foreign links, 0 of both "
        f"with another message ({linked} linked all the same, with the device that was meant), 0 words learnt"
    )


# --- two agents ---------------------------------------------------------------------------------------


async def _between_agents(root: Path) -> str:
    """The first messages in the room of a link code are changed and swapped, with one code each."""
    linked, tried = [], 0
    async with hostile_relay() as relay, Devices(root) as devices:
        joiner = await _agent_at(devices, "joiner", relay.url)
        for number in range(3):
            opener = await _agent_at(devices, f"opener {number}", relay.url)  # It makes few codes when they are burnt.
            for change in ("last bit", "swapped"):
                relay.tamper = _in_room(number, change)
                tried += 1
                await _try_to_link(opener, joiner)
                linked += [f"{change} {number}" for agent in (opener, joiner) if agent.store.links.all()]
                hold(not linked, f"devices were linked although a message was changed: {linked}")
        relay.tamper = genuine
        opener = await _agent_at(devices, "opener", relay.url)
        await _try_to_link(opener, joiner)
        hold(opener.store.links.all() and joiner.store.links.all(), "an untampered code does not link")
    return f"between agents {tried} codes with a changed message: 0 links, and the next code links"


async def _agent_at(devices: Devices, name: str, url: str) -> Agent:
    agent = await devices.start(name, relays=(url,))
    async with asyncio.timeout(30):
        while not agent.parts.dialer._d.relays().shared():
            await asyncio.sleep(0.02)
    return agent


async def _try_to_link(opener: Agent, joiner: Agent) -> None:
    """Use one code, and give up where nothing comes of it; a relay lets an address look up about one a second."""
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    async def decide(_result: LinkResult) -> LinkKind:
        return LinkKind.OWN

    opening = asyncio.create_task(opener.link(on_code=show, decide=decide))
    joining = asyncio.create_task(joiner.link(await asyncio.wait_for(shown, 20), decide=decide))
    done, waiting = await asyncio.wait({opening, joining}, timeout=8)
    for task in waiting:
        task.cancel()
    for ended in await asyncio.gather(*done, *waiting, return_exceptions=True):
        hold(
            not isinstance(ended, Exception) or isinstance(ended, HandoffError),
            f"linking met something else than a typed error: {ended!r}",
        )


def _in_room(number: int, change: str) -> Tamper:
    """Change one message of a room, counted in each direction of the relay; the genuine one is gone."""
    seen = {"up": -1}
    last: list[bytes] = [b"\0"]

    def tamper(direction: str, message: Fields) -> Iterable[Fields]:
        if direction != "up" or message["type"] != "room_send":
            return (message,)
        seen["up"] += 1
        data, older = message["data"], last[0]
        last[0] = data
        if seen["up"] != number:
            return (message,)
        changed = {
            "last bit": data[:-1] + bytes([data[-1] ^ 1]),
            "swapped": older,
        }[change]
        return ({**message, "data": changed},)

    return tamper


async def rooms(root: Path) -> Seen:
    """The exchange of a code between agents, and every field of it between devices without one."""
    agents = await _between_agents(root)
    ports.RELAY_REQUEST_DEADLINE = _PATIENCE  # type: ignore[attr-defined]  # in this process alone
    code_rooms._FIND_FOR = _PATIENCE
    switchboard.RELAY_LOOKUP_BURST = 10**6  # type: ignore[attr-defined]  # a hostile relay has no limits
    async with contextlib.AsyncExitStack() as stack:
        lanes = [Lane(await stack.enter_async_context(hostile_relay())) for _ in range(_LANES)]
        return Seen(f"{agents}; {await _every_field(lanes)}")


ATTACKS: Final = (
    Attack(
        "relay-rooms",
        "relay, full control",
        "changes, swaps, leaves out each field, drops, replays, reorders each message of the exchange of a link code",
        "0 links but with the device that was meant, 0 with another message; a code tampered with is burnt",
        rooms,
    ),
)
