# SPDX-License-Identifier: Apache-2.0
"""A relay changes every field of every message that a login and a dial need, on both sides, one dial for each case."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent import dialer
from p2p_handoff.agent.network import LOGIN_CONTEXT
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId
from p2p_handoff.rendezvous.client import RelayClient
from p2p_handoff.security.identity import Identity
from signaling import port as ports
from tests.attack.attack import Attack, Seen, hold
from tests.attack.rows.relay_needles import needles_of
from tests.attack.scene import Scene, scene
from tests.attack.tampering import HostileRelay, Tamper, genuine, hostile_relay

Fields = dict[str, Any]
Change = Callable[[Fields], list[Fields]]
"""What passes instead of a message."""

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


@dataclass(frozen=True, slots=True)
class Place:
    """A message of a dial.

    Args:
        victims: Whether it is on the victim's connection; else on the dialling device's.
        direction: ``up`` to the relay, ``down`` from it.
        kind: Its type.
    """

    victims: bool
    direction: str
    kind: str

    @property
    def is_sealed(self) -> bool:
        """Whether an envelope is in it."""
        return self.kind in {"send", "deliver"}

    def __str__(self) -> str:
        whose = "victim" if self.victims else "friend"
        return f"{whose}'s {self.kind}"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that the relay does to one message.

    Args:
        place: To which.
        deed: In words.
        change: What it does.
        fatal: Whether what was sealed does not arrive as it was: then nothing may open.
    """

    place: Place
    deed: str
    change: Change
    fatal: bool

    def __str__(self) -> str:
        return f"{self.place}: {self.deed}"


# --- the cases --------------------------------------------------------------------------------------


def _others(value: Any) -> Iterator[tuple[str, Any]]:
    """Other values of a field, of its own type and of others."""
    match value:
        case bytes() if value:
            yield "its last bit", value[:-1] + bytes([value[-1] ^ 1])
            yield "its first bit", bytes([value[0] ^ 128]) + value[1:]
            yield "cut short", value[:-1]
            yield "made longer", value + b"\0"
            yield "empty", b""
        case str():
            yield "other letters", ("b" if value[:1] == "a" else "a") * len(value)
            yield "empty", ""
            yield "made longer", value + "a"
        case int():
            yield from (("one more", value + 1), ("0", 0), ("2^40", 2**40), ("negative", -1))
        case list():
            yield from (("empty", []), ("twice", value * 2), ("strangers", ["a" * 26]))
    yield "of another type", [value] if not isinstance(value, list) else 0


def _set(key: str, value: Any) -> Change:
    return lambda message: [{**message, key: value}] if key in message else [message]


def _without(key: str) -> Change:
    return lambda message: [{name: value for name, value in message.items() if name != key}]


def _changes(place: Place, message: Fields, earlier: Sequence[Fields], foreign: Iterable[Any]) -> Iterator[Case]:
    """Everything that is done to one message.

    Args:
        place: Where it stands.
        message: As it was in a dial without tampering.
        earlier: The same message in other dials.
        foreign: Values that stand in other messages.
    """
    for key, value in message.items():
        fatal = key == "envelope"
        yield Case(place, f"without {key}", _without(key), fatal)
        for words, _ in _others(value):
            yield Case(place, f"{key} {words}", _other_than(key, words), fatal)
        for older in [item[key] for item in earlier if item.get(key, value) != value][:1]:
            yield Case(place, f"{key} of an earlier dial", _set(key, older), fatal)
        for number, alien in enumerate(item for item in foreign if _could_stand_for(value, item)):
            yield Case(place, f"{key} of another message ({number})", _set(key, alien), fatal)
    yield Case(place, "dropped", lambda _message: [], place.is_sealed)
    yield Case(place, "twice", lambda given: [given, given], fatal=False)
    yield Case(place, "with a field more", lambda given: [{**given, "!more": 1}], fatal=False)
    yield Case(place, "after itself as it was earlier", lambda given: [earlier[0], given], fatal=False)
    yield Case(place, "as it was earlier", lambda _message: [earlier[0]], place.is_sealed)
    yield Case(place, "in the wrong order", _later(), fatal=False)


def _could_stand_for(value: Any, other: Any) -> bool:
    """Whether the value of another field is one that this one might have: an id, a key, an envelope."""
    return type(other) is type(value) and other != value and len(other) == len(value)


def _other_than(key: str, words: str) -> Change:
    """Another value, made of the one at hand: a bit of this very envelope, not of an older one."""

    def change(message: Fields) -> list[Fields]:
        if key not in message:
            return [message]
        return [{**message, key: dict(_others(message[key]))[words]}]

    return change


def _later() -> Change:
    """Held back until the next one of its kind, which passes first; the last one is lost."""
    held: list[Fields] = []

    def change(message: Fields) -> list[Fields]:
        passing = [message, *held] if held else []
        held[:] = [] if held else [message]
        return passing

    return change


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
        public = friend._dialer._pinned(self.stage.device)
        assert public is not None
        wire: Wire | None = None
        with contextlib.suppress(HandoffError):
            async with RelayClient.connect(
                relay.url, self._friend.public.identity_key, self._sign, deadline=_PATIENCE
            ) as client:
                reading = asyncio.create_task(friend._dialer._d.relays()._read(client))
                try:
                    async with asyncio.timeout(_OPENING), dialer._present_at(client, public.device):
                        wire = await friend._dialer._offer(client, public, public.device)
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        if wire is None:
            return None
        await wire.close()
        await wire.ended()
        return wire.peer

    async def genuine(self, relay: HostileRelay) -> list[tuple[Place, Fields]]:
        """Dial without tampering until it works; returns the messages that passed."""
        relay.tamper = genuine
        async with asyncio.timeout(40):
            while True:
                await self.ready(relay)
                passed: list[tuple[Place, Fields]] = []
                relay.tamper = self._noting(relay, passed)
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
            lane.relay.tamper = self.tampering(lane.relay, case)
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

    def tampering(self, relay: HostileRelay, case: Case) -> Tamper:
        """What a case does at a relay."""

        def tamper(direction: str, message: Fields) -> Iterable[Fields]:
            place = Place(relay.party == self.stage.device, direction, message["type"])
            return case.change(message) if place == case.place else (message,)

        return tamper

    def _noting(self, relay: HostileRelay, passed: list[tuple[Place, Fields]]) -> Tamper:
        def note(direction: str, message: Fields) -> Iterable[Fields]:
            passed.append((Place(relay.party == self.stage.device, direction, message["type"]), message))
            return (message,)

        return note

    def _sign(self, message: bytes) -> bytes:
        return self._friend.sign(LOGIN_CONTEXT, message)


def cases_from(dials: Sequence[Sequence[tuple[Place, Fields]]]) -> list[Case]:
    """All cases, from what passed in dials without tampering; the victim's logins were before these."""
    places: dict[Place, list[Fields]] = {}
    for passed in dials:
        for place, message in passed:
            places.setdefault(place, []).append(message)
    values = [value for _, message in dials[-1] for value in message.values() if isinstance(value, str | bytes)]
    foreign = list(dict.fromkeys(values))
    types = sorted({place.kind for place in places})
    made = list[Case]()
    for place, messages in places.items():
        made += _changes(place, messages[-1], messages[:-1] or messages, foreign)
        made += [Case(place, f"as {kind}", _set("type", kind), place.is_sealed) for kind in types if kind != place.kind]
    return made


def login_cases() -> list[Case]:
    """What is done at the first login of the victim: a change and a loss of each field, a loss of each message."""
    fields = {
        Place(True, "down", "challenge"): ("type", "versions", "relay", "nonce"),
        Place(True, "up", "login"): ("type", "version", "identity_key", "host", "signature"),
        Place(True, "down", "welcome"): ("type", "device", *_LIMITS),
    }
    made = []
    for place, keys in fields.items():
        made.append(Case(place, "dropped", lambda _message: [], fatal=False))
        for key in keys:
            made.append(Case(place, f"without {key}", _without(key), fatal=False))
            made.append(Case(place, f"another {key}", _another(key), fatal=False))
    return made


def _another(key: str) -> Change:
    def change(message: Fields) -> list[Fields]:
        return [{**message, key: next(other for _, other in _others(message[key]))}]

    return change


async def fields(root: Path) -> Seen:
    """Every case, at some relays side by side; the relays of the logins are dialled when the victim had its chance."""
    dialer.ICE_DEADLINE = dialer.ANSWER_DEADLINE = _PATIENCE  # type: ignore[misc]  # in this process alone
    ports.RELAY_REQUEST_DEADLINE = _PATIENCE  # type: ignore[misc]  # as above
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
