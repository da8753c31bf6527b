# SPDX-License-Identifier: Apache-2.0
"""A linked device that wants to use its victim up: small messages that mean much, and floods."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from struct import pack
from typing import Final

import zstandard

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.compression import Encoding
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import PartId, SessionId, new_session_id, new_txn_id
from p2p_handoff.limits import (
    CREDIT_WINDOW,
    MAX_CONTROL_MESSAGE,
    MAX_OBJECT,
    MAX_OFFERS_KEPT,
    MAX_SECRET_PATH,
    MIB,
)
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import MAX_LINKS
from p2p_handoff.session.manifest import Manifest, Part, PartType, Secret, encode_manifest
from tests.agent.long_histories import handed_about
from tests.attack.attack import Attack, Seen, hold
from tests.attack.offers import Lie, copy_of, manifest_of, served
from tests.attack.scene import Scene, scene
from tests.attack.speaker import Speaker

Deed = Callable[[Speaker], Awaitable[None]]

_WHO: Final = "linked device"
_MILLION: Final = 1_000_000
INITS: Final = 600
OFFERS: Final = 64
ROUNDS: Final = 150


# --- what is said once, and must end the connection ---------------------------------------------------

MALFORMED: Final[dict[str, bytes]] = {
    "nesting a million deep": b"\x81" * _MILLION + b"\x00",
    "maps nested a million deep": b"\xa1\x00" * _MILLION + b"\x00",
    "a list that declares 2^32 items": b"\x9a\xff\xff\xff\xff",
    "a list that declares 2^63 items": b"\x9b\x7f" + b"\xff" * 7,
    "a map that declares 2^62 pairs": b"\xbb\x3f" + b"\xff" * 7,
    "bytes that declare 2^60": b"\x5b\x10" + bytes(7),
    "text that declares 2^60": b"\x7b\x10" + bytes(7),
    "endless bytes": b"\x5f" + b"\x41a" * 1000,
    "an endless list": b"\x9f" + b"\x00" * 1000,
    "a regular expression": b"\xd8\x23\x78\x1d" + b"(" * 14 + b"a+" + b")+" * 6 + b"b",
    "a cycle": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a bignum of a megabyte": b"\xc2\x5a\x00\x10\x00\x00" + b"\xff" * MIB,
    "one key twice": b"\xa2\x61a\x01\x61a\x02",
    "bytes behind the end": b"\xa1\x64type\x64ping" + b"\x00" * 64,
    "a number written too long": b"\xa2\x64type\x64ping\x66number\x1b" + bytes(8),
    "no message at all": b"\x00",
    "nothing": b"",
    "an unknown type": b"\xa1\x64type\x64evil",
    "eight million items": b"\x9a\x00\x7a\x12\x00" + b"\x00" * 8_000_000,
    "two million empty lists": b"\x9a\x00\x1e\x84\x80" + b"\x80" * 2_000_000,
    "four hundred thousand maps": b"\x9a\x00\x06\x1a\x80" + b"\xa1\x61a\x80" * 400_000,
}
"""What a control message may hold that no device sends, by name."""

IGNORED: Final = b"\xa3\x61x\x9a\x00\x07\xa1\x20" + b"\x01" * 500_000 + b"\x64type\x64ping\x66number\x00"
"""A ping with a field that its receiver must ignore (docs/specs/handoff-v2.md §2), and that is large."""


async def _each_cut_off(stage: Scene, deeds: Mapping[str, Deed]) -> None:
    for name, deed in deeds.items():
        speaker = await stage.speaker()
        with contextlib.suppress(HandoffError):
            await deed(speaker)
        try:
            await speaker.wait_cut_off()
        except TimeoutError:
            hold(False, f"{name}: the connection went on")
        hold(stage.victim.runs, f"{name}: the agent died")


def _saying(data: bytes) -> Deed:
    async def say(speaker: Speaker) -> None:
        await speaker.whole(data)

    return say


async def cbor(root: Path) -> Seen:
    """Every malformed message, each on a connection of its own."""
    deeds = {name: _saying(data) for name, data in MALFORMED.items()}
    async with scene(root) as stage:
        async with stage.victim.measured() as load:
            await _each_cut_off(stage, deeds)
            await (await stage.speaker()).whole(IGNORED)
        await stage.check_untouched()
    load.check()
    return Seen(f"{len(deeds)} messages, {len(deeds)} connections ended by a typed error", load.growth, load.stall)


async def _endless_message(speaker: Speaker) -> None:
    for _ in range(MAX_CONTROL_MESSAGE // MIB + 2):
        await speaker.whole(bytes(MIB), last=False)


async def _no_flag(speaker: Speaker) -> None:
    await speaker.control(b"\x02" + bytes(100))


async def _second_hello(speaker: Speaker) -> None:
    await speaker.message(msg.Hello((2,), "x", "x", (), 0, 0))


async def _unknown_critical(speaker: Speaker) -> None:
    await speaker.value({"type": "ping", "number": 1, "!must": 1})


async def _beyond_credit(speaker: Speaker) -> None:
    header = pack("!26s32sBI", b"a" * 26, bytes(32), 0, MAX_OBJECT)
    for _ in range(2 * CREDIT_WINDOW // MIB):
        await speaker.bulk(header + bytes(MIB - len(header)))


async def _huge_object(speaker: Speaker) -> None:
    await speaker.bulk(pack("!26s32sBI", b"a" * 26, bytes(32), 0, 0xFFFFFFFF))


async def _object_of_no_txn(speaker: Speaker) -> None:
    await speaker.bulk(pack("!26s32sBI", b"\xff" * 26, bytes(32), 0, 1) + b"x")


async def _unsealed(speaker: Speaker) -> None:
    await speaker.frame(Channel.CONTROL, os.urandom(1000))


async def _unsealed_bulk(speaker: Speaker) -> None:
    await speaker.frame(Channel.BULK, os.urandom(1000))


FRAMES: Final[dict[str, Deed]] = {
    "a message without end": _endless_message,
    "an unknown flag": _no_flag,
    "a second hello": _second_hello,
    "an unknown critical field": _unknown_critical,
    "content beyond the credit": _beyond_credit,
    "an object of 4 GiB": _huge_object,
    "an object for a malformed txn": _object_of_no_txn,
    "a frame that nobody sealed": _unsealed,
    "content that nobody sealed": _unsealed_bulk,
}


async def frames(root: Path) -> Seen:
    """Every frame and stream that breaks a rule."""
    async with scene(root) as stage:
        async with stage.victim.measured() as load:
            await _each_cut_off(stage, FRAMES)
        await stage.check_untouched()
    load.check()
    return Seen(f"{len(FRAMES)} cases, {len(FRAMES)} connections ended by a typed error", load.growth, load.stall)


# --- floods ---------------------------------------------------------------------------------------


async def _flood(stage: Scene, messages: Callable[[int], list[msg.Message]], count: int) -> int:
    """Say much on one connection, and on another one where it is cut off; returns how often it was."""
    cut = sent = 0
    speaker = await stage.speaker()
    while sent < count:
        if not speaker.heard:
            cut += 1
            if cut == 3:
                break
            speaker = await stage.speaker()
        with contextlib.suppress(HandoffError):
            for message in messages(sent):
                await speaker.message(message)
        sent += 1
        if sent % 20 == 0:
            await asyncio.sleep(0)
    # What was said has been dealt with once an answer to a later word is here, or nobody listens any more.
    with contextlib.suppress(TimeoutError, HandoffError):
        await asyncio.wait_for(speaker.wire.wait_closed(), 1.0)
    return cut


async def inits(root: Path) -> Seen:
    """Thousands of handoffs are opened, each of another session, none goes on."""
    async with scene(root, kind=LinkKind.OTHER) as stage:
        async with stage.victim.measured() as load:
            cut = await _flood(stage, lambda _: list(copy_of(stage)), INITS)
            requests = len((await stage.victim.call("requests"))["requests"])
        await stage.check_untouched()
    load.check()
    hold(requests <= 100, f"{requests} requests wait for the user")
    return Seen(f"{INITS} Inits: {requests} requests wait for the user, cut off {cut} times", load.growth, load.stall)


async def offers(root: Path) -> Seen:
    """Offers that wait for the user, each with a list of a megabyte."""
    async with scene(root, kind=LinkKind.OTHER) as stage:
        session = SessionId(new_session_id(os.urandom))
        size = len(_listing(session))
        room = MAX_OFFERS_KEPT // size
        speaker, refused = await stage.speaker(), 0
        async with stage.victim.measured() as load:
            with stage.listening() as heard:
                for _ in range(OFFERS):
                    init, request = copy_of(stage)
                    await speaker.message(init)
                    await speaker.message(replace(request, manifest=_listing(init.session)))
                async with asyncio.timeout(60):
                    while refused < OFFERS - room:
                        if isinstance(message := await heard.get(), msg.Reject):
                            hold(message.reason is msg.RejectReason.BUSY, f"refused as {message.reason.value}")
                            refused += 1
        answer = await stage.victim.call("requests")
        waiting = len(answer["requests"]) + answer["more"]
        await stage.check_untouched()
    load.check()
    hold(waiting <= room, f"{waiting} requests of {size} bytes wait for the user")
    what = f"{OFFERS} offers of {size / MIB:.1f} MiB: {waiting} wait for the user, the others are refused as busy"
    return Seen(what, load.growth, load.stall)


def _listing(session: SessionId) -> bytes:
    secrets = tuple(Secret(b"%04d" % number + b"x" * (MAX_SECRET_PATH - 4), "token") for number in range(256))
    part = Part(PartId("p1"), PartType.FILES, "folder", "gift", digest(b""), 0, 0, 1, secrets=secrets)
    return encode_manifest(Manifest(session, "gift", (part,)))


async def chatter(root: Path) -> Seen:
    """Small messages as fast as they go, that all need an answer or none."""
    txn = new_txn_id(os.urandom)
    names = tuple(os.urandom(32) for _ in range(8192))

    def said(number: int) -> list[msg.Message]:
        session = SessionId("a" * 26)
        news = tuple(
            msg.KnownOwner(SessionId(new_session_id(os.urandom)), 1, stage.device, bytes(32)) for _ in range(64)
        )
        return [
            msg.Ping(number),
            msg.Pong(number),
            msg.Credit(2**62),
            msg.ListSessions(number),
            msg.SessionList(number, ()),
            msg.AskChain(session),
            msg.ChainNews(session, "title", b"\x80"),
            msg.News(number, news, more=False),
            msg.Take(new_txn_id(os.urandom), session, ()),
            msg.Want(txn, PartId("p1"), names[:256], 1, (os.urandom(1 + 6 * 100),) * 32),
            msg.Gone(txn, PartId("p1"), names[:256]),
            msg.Query(txn, session, b"statement"),
            msg.Grant(txn, session, b"statement", b"manifest", 1),
            msg.Cancel(txn, msg.RejectReason.FAILED, "x" * 500),
        ]

    async with scene(root) as stage:
        async with stage.victim.measured() as load:
            cut = await _flood(stage, said, ROUNDS)
        await stage.check_untouched()
    load.check()
    return Seen(f"{14 * ROUNDS} messages of 14 kinds, cut off {cut} times", load.growth, load.stall)


async def manifests(root: Path) -> Seen:
    """Offers whose manifest is as large as a message may be, or no manifest."""
    bombs = [
        b"\x9a\x00\x1e\x84\x80" + b"\x80" * 2_000_000,
        b"\x84\x6amanifest/1\x78\x1a" + b"a" * 26 + b"\x61t\x9a\x00\x1e\x84\x80" + b"\x80" * 2_000_000,
        b"\x81" * _MILLION,
        os.urandom(MIB),
    ]
    async with scene(root) as stage:
        async with stage.victim.measured() as load:
            cut = await _flood(stage, lambda number: list(copy_of(stage, bombs[number % len(bombs)])), len(bombs))
        await stage.check_untouched()
    load.check()
    return Seen(f"{len(bombs)} offers with bombs for a manifest, cut off {cut} times", load.growth, load.stall)


async def histories(root: Path) -> Seen:
    """Sessions with the longest history there can be, in one piece and forged, and more of them than are looked at."""
    async with scene(root, kind=LinkKind.OTHER) as stage:
        session = SessionId(new_session_id(os.urandom))
        good = chains.encode_chain(handed_about(session, stage.intruder.identity, Identity.generate(), MAX_LINKS))
        forged = good[:-1] + bytes([good[-1] ^ 1])

        def moved(chain: bytes) -> list[msg.Message]:
            txn, epoch = new_txn_id(os.urandom), MAX_LINKS + 1
            init = msg.Init(txn, session, stage.intruder.device, stage.device, msg.Mode.MOVE, epoch, chain, take=False)
            return [init, msg.Request(txn, manifest_of(session), (PartId("p1"),), 600)]

        speaker = await stage.speaker()
        answers: Counter[str] = Counter()
        async with stage.victim.measured() as load:
            with stage.listening() as heard:
                for chain in (b"\x99\x4e\x21" + b"\x82\x40\x40" * 20_001, forged, good, good, good):
                    for message in moved(chain):
                        await speaker.message(message)
                async with asyncio.timeout(90):
                    while answers["untrusted"] < 2 or not answers["busy"]:
                        if isinstance(message := await heard.get(), msg.Reject):
                            answers[message.reason.value] += 1
                    while not (await stage.victim.call("requests"))["requests"]:
                        await asyncio.sleep(0.1)
        await stage.check_untouched()
    load.check()
    return Seen(f"one of 5 is looked at further, the others are answered: {dict(answers)}", load.growth, load.stall)


# --- content ----------------------------------------------------------------------------------------


def _zstd_declaring(size: int) -> bytes:
    """A frame header that declares a size, and one block of a run of zeros (RFC 8878 §3.1.1)."""
    return (
        bytes.fromhex("28b52ffd")
        + bytes([0xE0])
        + size.to_bytes(8, "little")
        + (((128 * 1024) << 3) | 0b011).to_bytes(3, "little")
        + b"\0"
    )


def _patch(steps: list[object]) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(strict_cbor.encode(steps))


async def content(root: Path) -> Seen:
    """Objects that are larger than they say, or not what they are named."""
    gib = zstandard.ZstdCompressor(level=1).compress(bytes(256 * MIB))
    honest = b"a small object"
    raw, packed, name = Encoding.RAW.value, Encoding.ZSTD.value, digest(honest)
    lies = {
        "256 MiB of zeros in 25 KB": Lie(name, 100, packed, gib),
        "a frame that declares 2^60": Lie(name, 100, packed, _zstd_declaring(2**60)),
        "a frame that declares 1 GiB": Lie(name, MAX_OBJECT, packed, _zstd_declaring(2**30)),
        "an unknown encoding": Lie(name, 100, 77, honest),
        "a patch of nothing that was described": Lie(name, 100, Encoding.PATCH.value, _patch([honest])),
        "a patch of 64 MiB of zeros": Lie(name, MAX_OBJECT, Encoding.PATCH.value, _patch([bytes(64 * MIB)])),
        "another object than named": Lie(name, 100, raw, b"another object"),
        "more than announced": Lie(name, 3, raw, honest),
        "no directory": Lie(name, 100, raw, honest),
    }
    async with scene(root) as stage:
        async with stage.victim.measured() as load:
            reasons = {what: await served(stage, lie) for what, lie in lies.items()}
        await stage.check_untouched()
    load.check()
    taken = [name for name, reason in reasons.items() if reason == "ready"]
    hold(not taken, f"taken as content: {taken}")
    return Seen(f"{len(lies)} objects refused ({', '.join(sorted(set(reasons.values())))})", load.growth, load.stall)


def _row(name: str, deed: str, play: Callable[[Path], Awaitable[Seen]]) -> Attack:
    expected = "a typed error, at most 64 MiB and 50 ms a step, the victim's own session untouched"
    return Attack(name, _WHO, deed, expected, play)


ATTACKS: Final = (
    _row("bomb-cbor", f"{len(MALFORMED)} messages that are no strict CBOR or mean more than they weigh", cbor),
    _row("bomb-frames", "frames and streams without seal, end, credit or sense", frames),
    _row("bomb-manifest", "offers with manifests of millions of items", manifests),
    _row("bomb-chain", f"sessions with a history of {MAX_LINKS} handoffs, genuine and forged", histories),
    _row("bomb-content", "objects that unpack to more than they say, or are others than named", content),
    _row("flood-inits", f"opens {INITS} handoffs that never go on", inits),
    _row("flood-offers", f"offers {OFFERS} sessions with long lists that wait for the user", offers),
    _row("flood-messages", f"{14 * ROUNDS} messages of 14 kinds that need an answer or make no sense", chatter),
)
