# SPDX-License-Identifier: Apache-2.0
"""Conversations whose updates panic, lie, or are small and mean much: no library may see them unguarded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pycrdt

from p2p_handoff.adapters.conversation_root import Root, Text
from p2p_handoff.content.compression import Encoding
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content
from p2p_handoff.errors import HandoffError
from p2p_handoff.session.document import LineDocument
from tests.attack.attack import Attack, Seen, hold
from tests.attack.offers import Lie, served
from tests.attack.scene import scene

_HUGE: Final = 2**53 - 1
_MUTANTS: Final = 12
_PANICS: Final = bytes.fromhex(
    "010100010000000a7402630a00420a740000007f01010264010101010264010101010169d916987f65531031cb2d02"
)
"""It is taken, and the library panics when the document is asked for its updates."""
_REFUSED: Final = frozenset(
    {"a panic", "a clock at its end", "junk", "cut short", "2^32 clients announced", "a text of 2^40 bytes announced"}
    | {"another type of the same name", "2,000 maps of one transaction", "arrays 5,000 deep"}
)
"""What the library, or this device's use of it, does not survive or take; the rest may be taken, within bounds."""
_GC, _DELETED, _STRING, _BINARY, _SKIP = 0, 1, 4, 3, 10
_ROOT: Final = b"\x01\x05lines"
"""The parent of an item: the root type of that name."""


def _number(value: int) -> bytes:
    """A variable-length integer as updates have them."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _update(structs: Sequence[bytes], deleted: bytes = b"\0", client: int = 1, clock: int = 0) -> bytes:
    """An update of one client, in version 1 of the format."""
    head = b"\x01" + _number(len(structs)) + _number(client) + _number(clock)
    return head + b"".join(structs) + deleted


def _honest() -> bytes:
    document = LineDocument.empty(1)
    document.append(b"one\ntwo\nthree\n")
    return document.update_since()


def _many_in_one_transaction(count: int) -> bytes:
    """Maps that one transaction inserted: what the library does with them may grow faster than they."""
    document: pycrdt.Doc[pycrdt.Array[pycrdt.Map[int]]] = pycrdt.Doc(client_id=7)
    lines = document.get("lines", type=pycrdt.Array)
    with document.transaction():
        for _ in range(count):
            lines.append(pycrdt.Map({"a": 1}))
    return bytes(document.get_update())


def _nested(depth: int) -> bytes:
    """Arrays in arrays."""
    structs = [bytes([7]) + _ROOT + b"\0"]
    structs += [bytes([7]) + b"\0" + _number(1) + _number(clock) + b"\0" for clock in range(depth)]
    return _update(structs)


def bombs() -> Iterator[tuple[str, list[bytes]]]:
    """Logs of updates that no honest device has, by name."""
    good = _honest()
    yield "junk", [b"\xff" * 4096]
    yield "nothing", [b"\x00"]
    yield "a panic", [good, _PANICS]
    yield "cut short", [good[: len(good) // 2]]
    yield "one 60 times", [good] * 60
    yield "collected without end", [_update([bytes([_GC]) + _number(_HUGE)])]
    yield "skipped without end", [_update([bytes([_SKIP]) + _number(_HUGE)])]
    yield "deleted without end", [_update([bytes([_DELETED]) + _ROOT + _number(2**32 - 1)])]
    yield "a deletion of everything", [good, b"\0" + b"\x01\x01\x01\0" + _number(_HUGE)]
    yield "deletions that overlap", [good, b"\0\x01\x01" + _number(9000) + b"\0\xff\x7f" * 9000]
    yield "a clock at its end", [_update([bytes([_DELETED]) + _ROOT + b"\x01"], clock=_HUGE)]
    yield "2^32 clients announced", [_number(2**32) + b"\x01\x01\0"]
    yield "2^32 items announced", [b"\x01" + _number(2**32) + b"\x01\0" + bytes([_GC, 1])]
    yield "a text of 2^40 bytes announced", [_update([bytes([_STRING]) + _ROOT + _number(2**40) + b"x"])]
    yield "a line of 200 kB that is no line", [_update([bytes([_BINARY]) + _ROOT + _number(200_000) + b"x" * 200_000])]
    yield "another type of the same name", [_update([bytes([_STRING]) + _ROOT + b"\x03abc"])]
    yield (
        "20,000 clients",
        [_number(20_000) + b"".join(b"\x01" + _number(c) + b"\0\0\x01" for c in range(20_000)) + b"\0"],
    )
    yield "2,000 maps of one transaction", [_many_in_one_transaction(2_000)]
    yield "arrays 5,000 deep", [_nested(5_000)]
    chance = random.Random(9)
    for number in range(_MUTANTS):
        mutant = bytearray(good)
        for _ in range(1 + number % 4):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        yield f"a mutant {number}", [bytes(mutant)]


def _text(log: Sequence[bytes]) -> Text:
    """What a log renders to: a liar tells the truth about that."""
    document = LineDocument.empty(5)
    try:
        for update in log:
            document.apply(update)
        shown = document.render()
    except HandoffError:
        return Text(digest(b"unknown"), 5, 1, 0)
    return Text(digest(shown), len(shown), len(document.lines()), 0)


def _lie(log: Sequence[bytes]) -> Lie:
    """A conversation of these updates."""
    contents = tuple(Content(Digest(digest(update)), len(update), 0, len(update)) for update in log)
    root = Root(bytes(16), _text(log), contents).encoded()
    objects = {bytes(digest(update)): update for update in log}
    return Lie(digest(root), len(root), Encoding.RAW.value, root, objects, "conversation")


async def play(root: Path) -> Seen:
    """Every log is offered, accepted and served; afterwards an honest one arrives."""
    cases = dict(bombs())
    async with scene(root) as stage:
        async with stage.victim.measured() as load:
            reasons = {name: await served(stage, _lie(log)) for name, log in cases.items()}
        taken = {name for name, reason in reasons.items() if reason == "ready"}
        hold(not taken & _REFUSED, f"taken as a conversation: {sorted(taken & _REFUSED)}")
        talk = root / "intruder" / "talk.jsonl"
        talk.write_bytes(b'{"role":"user","content":"hello"}\n')
        report = await stage.intruder.to("victim", talk)
        hold(report.outcome == "done", f"an honest conversation afterwards: {report.text}")
        await stage.check_untouched()
    load.check()
    kept = len(cases) - len(taken)
    told = f"{len(cases)} logs of updates: {kept} refused, {len(taken)} taken, which is what they say"
    return Seen(f"{told}; an honest one arrives", load.growth, load.stall)


ATTACKS: Final = (
    Attack(
        "bomb-crdt",
        "linked device",
        "conversations whose updates panic, lie about sizes, or are small and mean much",
        "a typed error, at most 64 MiB and 50 ms a step, the victim's own session untouched",
        play,
    ),
)
