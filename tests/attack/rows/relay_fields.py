# SPDX-License-Identifier: Apache-2.0
"""A relay changes every field of every message that a login and a dial need, on both sides, one dial for each case."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from p2p_handoff.agent import dialer, sealed_offers
from p2p_handoff.agent.network import LOGIN_CONTEXT
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId
from p2p_handoff.rendezvous.client import RelayClient
from p2p_handoff.security.identity import Identity
from signaling import port as ports
from tests.attack.attack import Attack, Seen, hold
from tests.attack.changes import Case, Fields, Passed, Place, another, cases_from, noting, tampering, without
from tests.attack.rows.relay_needles import needles_of
from tests.attack.scene import Scene, scene
from tests.attack.tampering import HostileRelay, Tamper, genuine, hostile_relay

_LANES: Final = 20
"""Relays: the victim stays away for a while from one that has said what no relay says."""
_SIDE_BY_SIDE: Final = 6
"""Dials at a time."""
_PATIENCE: Final = 0.6
"""Seconds for an answer of relay or device, in the process of the attack: nothing here is far away."""
_OPENING: Final = 15.0
_NAME: Final = "Friendly-Device-Of-Bob"
_TITLE: Final = "private"
_LIMITS: Final = ("max_envelope", "messages_per_second", "burst", "room_seconds")


def _at_first(case: Case) -> Tamper:
    """What a case does to the first message of its kind."""
    left = [case]

    def tamper(direction: str, message: Fields) -> Iterable[Fields]:
        if left and (direction, message["type"]) == (case.place.direction, case.place.kind):
            return left.pop().change(message)
        return (message,)

    return tamper


# --- playing them -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Lane:
    """A relay, and what was done there."""

    relay: HostileRelay
    opened: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dials:
    """Dials of the friend to the victim, by relays of choice, each with a login of its own."""

    stage: Scene
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_SIDE_BY_SIDE))

    @property
    def _friend(self) -> Identity:
        return self.stage.intruder.identity

    async def dial(self, relay: HostileRelay) -> DeviceId | None:
        """Log in, dial, hang up; returns whom the connection was with."""
        friend = self.stage.intruder
        public = friend.parts.dialer._d.pinned(self.stage.device)
        assert public is not None
        wire: Wire | None = None
        with contextlib.suppress(HandoffError):
            async with RelayClient.connect(
                relay.url, self._friend.public.identity_key, self._sign, deadline=_PATIENCE
            ) as client:
                reading = asyncio.create_task(friend.parts.dialer._d.relays()._read(client))
                try:
                    async with asyncio.timeout(_OPENING), dialer._present_at(client, public.device):
                        wire = await friend.parts.dialer._offers.offer(client, public, public.device)
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        if wire is None:
            return None
        await wire.close()
        await wire.ended()
        return wire.peer

    async def genuine(self, relay: HostileRelay) -> Passed:
        """Dial without tampering until it works; returns the messages that passed."""
        relay.tamper = genuine
        async with asyncio.timeout(40):
            while True:
                await self.ready(relay)
                passed: Passed = []
                relay.tamper = noting(relay, self._whose, passed)
                if await self.dial(relay) == self.stage.device:
                    return passed

    async def ready(self, relay: HostileRelay) -> None:
        """Wait until the victim is at a relay."""
        async with asyncio.timeout(40):
            while self.stage.device not in relay.online:
                await asyncio.sleep(0.02)

    async def play(self, lane: Lane, case: Case) -> None:
        """Tamper with one dial."""
        lane.relay.tamper = genuine
        await self.ready(lane.relay)
        async with self._turns:
            lane.relay.tamper = tampering(lane.relay, self._whose, case)
            peer = await self.dial(lane.relay)
        if peer is None:
            return
        lane.opened.append(str(case))
        if peer != self.stage.device or case.fatal:
            lane.wrong.append(str(case))

    async def after_login(self, lane: Lane) -> bool:
        """Dial where a login of the victim was tampered with; returns whether that opened a connection with it."""
        lane.relay.tamper = genuine
        peer = await self.dial(lane.relay)
        if peer not in {None, self.stage.device}:
            lane.wrong.append(f"after a login of the victim: {peer}")
        return peer is not None

    def _whose(self, device: str) -> str:
        return "victim" if device == self.stage.device else "friend"

    def _sign(self, message: bytes) -> bytes:
        return self._friend.sign(LOGIN_CONTEXT, message)


def login_cases() -> list[Case]:
    """What is done at the first login of the victim: a change and a loss of each field, a loss of each message."""
    fields = {
        Place("victim", "down", "challenge"): ("type", "versions", "relay", "nonce"),
        Place("victim", "up", "login"): ("type", "version", "identity_key", "host", "signature"),
        Place("victim", "down", "welcome"): ("type", "device", *_LIMITS),
    }
    made = []
    for place, keys in fields.items():
        made.append(Case(place, "dropped", lambda _message: [], fatal=False))
        for key in keys:
            made.append(Case(place, f"without {key}", without(key), fatal=False))
            made.append(Case(place, f"another {key}", another(key), fatal=False))
    return made


async def fields(root: Path) -> Seen:
    """Every case, at some relays side by side; the relays of the logins are dialled when the victim had its chance."""
    sealed_offers.ICE_DEADLINE = sealed_offers.ANSWER_DEADLINE = _PATIENCE  # type: ignore[attr-defined]  # in this process alone
    ports.RELAY_REQUEST_DEADLINE = _PATIENCE  # type: ignore[attr-defined]  # as above
    async with contextlib.AsyncExitStack() as stack:
        lanes = [Lane(await stack.enter_async_context(hostile_relay())) for _ in range(_LANES)]
        logins = [Lane(await stack.enter_async_context(hostile_relay())) for _ in login_cases()]
        for lane, case in zip(logins, login_cases(), strict=True):
            lane.relay.tamper = _at_first(case)
        urls = [lane.relay.url for lane in (*lanes, *logins)]
        stage = await stack.enter_async_context(scene(root, name=_NAME, told=False, relays=urls, joined=False))
        dials = Dials(stage)
        async with stage.victim.measured() as load:
            cases = cases_from([await dials.genuine(lanes[0].relay) for _ in range(3)])
            waiting = list(cases)
            await asyncio.gather(*(_work(dials, lane, waiting) for lane in lanes))
            at_login = [await dials.after_login(lane) for lane in logins]
            await dials.genuine(lanes[0].relay)
        everywhere = [*lanes, *logins]
        wrong = [words for lane in everywhere for words in lane.wrong]
        hold(not wrong, f"{len(wrong)} connections opened: {wrong[:5]}")
        learnt = [word for word in needles_of(_NAME, _TITLE) for lane in everywhere if word in lane.relay.seen]
        hold(not learnt, f"the relay learnt {learnt}")
        await stage.check_untouched()
    load.check()
    opened = sum(len(lane.opened) for lane in lanes)
    fatal = sum(case.fatal for case in cases)
    return Seen(
        f"{len(cases)} cases at dials, {fatal} of them with what is sealed, {len(logins)} at logins of the victim: "
        f"0 foreign connections, 0 with another envelope ({opened} and {sum(at_login)} opened all the same, with the "
        "device that was meant), 0 words learnt",
        load.growth,
        load.stall,
    )


async def _work(dials: Dials, lane: Lane, waiting: list[Case]) -> None:
    while waiting:
        await dials.play(lane, waiting.pop())


ATTACKS: Final = (
    Attack(
        "relay-fields",
        "relay, full control",
        "changes, swaps, leaves out each field, drops, replays, reorders each message of logins and dials",
        "0 connections but with the device that was meant, nothing learnt",
        fields,
    ),
)
