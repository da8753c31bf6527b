# SPDX-License-Identifier: Apache-2.0
"""A relay that does what it likes with every message, and people who guess codes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent import sealed_offers
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.limits import RELAY_LOOKUP_BURST, RELAY_LOOKUPS_PER_SECOND
from p2p_handoff.security.words import LinkCode
from signaling.bucket import TokenBucket
from signaling.messages import Refusal
from signaling.rooms import ClientKey, OpenedRoom, Rooms
from tests.agent.devices import fill
from tests.attack.attack import Attack, Seen, hold
from tests.attack.rows.relay_needles import needles_of
from tests.attack.scene import Scene, scene
from tests.attack.tampering import HostileRelay, Tamper, genuine, hostile_relay

Fields = dict[str, Any]

_ANSWER: Final = 1.0
"""Seconds for the answer to an offer, in the process of the attack: nothing here is far away."""
_FRIEND: Final = "Friendly-Device-Of-Bob"
_TITLE: Final = "private"
_GUESSES: Final = 100_000


# --- envelopes ----------------------------------------------------------------------------------------


def mutants(envelope: bytes, older: bytes) -> Iterator[bytes]:
    """What can be made of a sealed envelope without its keys."""
    places = {0, 1, 2, 33, 100, 1120, 1121, 1152, len(envelope) - 1, len(envelope) - 16, len(envelope) - 17}
    for at in sorted({*places, *range(0, len(envelope), max(1, len(envelope) // 24))}):
        for bit in (0x01, 0x80):
            yield envelope[:at] + bytes([envelope[at] ^ bit]) + envelope[at + 1 :]
    for size in (0, 1, 33, 1121, len(envelope) - 1):
        yield envelope[:size]
    half = len(envelope) // 2
    yield from (envelope + b"\0", envelope * 2, envelope[half:] + envelope[:half], envelope[::-1])
    if len(older) == len(envelope):
        yield from (older, older[:half] + envelope[half:], envelope[:1121] + older[1121:])


async def _dial(friend: Agent, device: Any) -> Wire | None:
    with contextlib.suppress(HandoffError):
        return await friend.parts.dialer.connect(device)
    return None


async def _ready(stage: Scene) -> None:
    async with asyncio.timeout(30):
        while not stage.intruder.parts.dialer._d.relays().shared():
            await asyncio.sleep(0.02)
        while any((await stage.victim.call("status"))["relays"].values()):
            await asyncio.sleep(0.05)


async def _genuine(stage: Scene, relay: HostileRelay) -> None:
    """Without tampering a connection opens, and is the victim's own."""
    relay.tamper = genuine
    await _ready(stage)
    async with asyncio.timeout(20):
        while (wire := await _dial(stage.intruder, stage.device)) is None:
            await asyncio.sleep(0.1)
    hold(wire.peer == stage.device, "a connection with somebody else opened")
    await wire.close()
    await wire.ended()


def _envelopes(relay: HostileRelay) -> list[bytes]:
    return [message["envelope"] for direction, message in relay.messages if direction == "up" and "envelope" in message]


def _delivered(change: Callable[[Fields], list[Fields]]) -> Tamper:
    """What a client is delivered instead of an envelope."""

    def tamper(direction: str, message: Fields) -> Iterable[Fields]:
        return change(message) if (direction, message["type"]) == ("down", "deliver") else (message,)

    return tamper


def _at_relay(change: Callable[[Fields], list[Fields]]) -> Tamper:
    """What the relay is sent instead of an envelope."""

    def tamper(direction: str, message: Fields) -> Iterable[Fields]:
        return change(message) if (direction, message["type"]) == ("up", "send") else (message,)

    return tamper


def _from(sender: str, tamper: Tamper) -> Tamper:
    """Tamper with what one device sends."""
    return lambda way, message: tamper(way, message) if message.get("from") == sender else (message,)


def _mutated(older: bytes) -> Tamper:
    return _delivered(lambda message: [{**message, "envelope": data} for data in mutants(message["envelope"], older)])


async def envelopes(root: Path) -> Seen:
    """Offers and answers are mutated, replayed, swapped, reflected and dropped, then replayed once more."""
    sealed_offers.ANSWER_DEADLINE = _ANSWER  # in this process alone
    async with hostile_relay() as relay, scene(root, name=_FRIEND, told=False, relays=[relay.url]) as stage:
        await _genuine(stage, relay)
        older = _envelopes(relay)
        mutated = _mutated(older[0])
        opened = []
        deeds: dict[str, Tamper] = {
            "mutated": mutated,
            # The intruder's offers arrive; what it is answered is changed.
            "answers mutated": _from(stage.device, mutated),
            "reflected": _at_relay(lambda message: [{**message, "to": stage.intruder.device}]),
            "replaced by older ones": _delivered(lambda message: [{**message, "envelope": old} for old in older]),
            "dropped": _delivered(lambda _message: []),
        }
        for name, deed in deeds.items():
            await _ready(stage)
            relay.tamper = deed
            if await _dial(stage.intruder, stage.device) is not None:
                opened.append(name)
        hold(not opened, f"a connection opened although every envelope was {opened}")
        made = sum(1 for _ in mutants(older[0], older[0])) * len([1 for deed in deeds if "mutated" in deed])
        await _genuine(stage, relay)
        await stage.check_untouched()
    return Seen(f"{len(deeds)} ways, {made} mutants of envelopes: 0 connections; untampered one opens before and after")


async def learns(root: Path) -> Seen:
    """All that passes a relay while devices link, meet and hand over is looked through."""
    async with hostile_relay() as relay, scene(root, name=_FRIEND, told=False, relays=[relay.url]) as stage:
        await _ready(stage)
        folder = fill(root / "intruder" / "Secret-Title-Of-A-Session", {"a": b"b"})
        async with asyncio.timeout(40):
            while (await stage.intruder.to("victim", folder)).outcome != "done":
                await asyncio.sleep(0.1)
        needles = needles_of(_FRIEND, _TITLE, "Secret-Title", "victim", "p2p-handoff 0")
        found = [needle for needle in needles if needle in relay.seen]
        size = len(relay.seen)
        hold(_envelopes(relay), "no envelope passed this relay")
        await stage.check_untouched()
    hold(not found, f"the relay saw {found}")
    return Seen(f"{size} bytes looked through for {len(needles)} words of SDP, names, titles, addresses: 0 hits")


# --- codes --------------------------------------------------------------------------------------------


async def guesses(root: Path) -> Seen:
    """A hundred thousand codes are guessed, each at an open room of the real switchboard's parts."""
    entropy = random.Random(20).randbytes
    codes, table, bucket, clock = 0, Rooms(entropy), TokenBucket(RELAY_LOOKUPS_PER_SECOND, RELAY_LOOKUP_BURST, 0.0), 0.0
    second = 0
    owner, guesser, late = ClientKey(1), ClientKey(2), ClientKey(3)
    for _ in range(_GUESSES):
        room = table.open(owner, None, None, clock)
        hold(isinstance(room, OpenedRoom), f"no room could be opened: {room}")
        assert isinstance(room, OpenedRoom)
        code = LinkCode.generate(room.nameplate, entropy)
        found = table.find(room.nameplate)
        joined = table.join(guesser, room.id)
        hold(isinstance(joined, OpenedRoom) and found == room.id, "the one guess was refused")
        codes += LinkCode.generate(room.nameplate, entropy) == code
        second += not isinstance(table.join(late, room.id), Refusal)
        table.leave(guesser, room.id, clock)
        second += not isinstance(table.join(late, room.id), Refusal)
        for _ in range(2):
            clock += bucket.wait(clock)
        table.expire(clock)
    hold(second == 0, f"{second} rooms took another guess")
    hold(codes <= 2, f"{codes} codes were guessed")
    bound = _GUESSES / 2**22
    told = f"{codes} of {_GUESSES} guessed ({bound:.3f} to be expected), 0 second guesses"
    return Seen(f"{told}; {clock / 3600:.0f} h from one address")


ATTACKS: Final = (
    Attack(
        "relay-envelopes",
        "relay, full control",
        "mutates, replays, swaps, reflects and drops every envelope",
        "0 connections",
        envelopes,
    ),
    Attack(
        "relay-learns",
        "relay, full control",
        "reads all that passes",
        "no SDP, name, title or sealed address",
        learns,
    ),
    Attack(
        "code-guesses",
        "client of a relay",
        f"guesses {_GUESSES} link codes",
        "one guess a code, about 2^-22 each",
        guesses,
    ),
)
