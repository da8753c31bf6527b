# SPDX-License-Identifier: Apache-2.0
"""Target: what devices say about own devices, true, forged, and in any order."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import cbor2

from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import MAX_CIRCLE_BY_SIGNER, MAX_CIRCLE_STATEMENTS
from p2p_handoff.security.circle import Book, Judgement, Taken, admissions_to_keep, judge, new_entries, relevant, take
from p2p_handoff.security.circle_statements import (
    Admission,
    SignedCircleStatement,
    decode_circle_statement,
    encode_circle_statement,
    verify_circle_statement,
)
from tests.fuzz.target import Shape, Target, attempt, must, plan
from tests.fuzz.targets.vectors import strings, vector
from tests.security.circle_world import admits, device, linked, revokes

_DEVICES: Final = "abcdef"
_ME: Final = "a"
_MAX_SAID: Final = 24
_NUMBERS: Final = (1, 2, 3, 2**53)


def _said(data: bytes) -> bool:
    """A list: statements that devices signed, by who, what, about whom, number; others as bytes, or altered ones."""
    parsed = _parsed(data)
    steps = plan(data)
    if not steps:
        return parsed
    offered = [signed for step in steps[:_MAX_SAID] if (signed := _statement(step)) is not None]
    mine = Book(device(_ME).public)
    taken = take(mine, offered)
    judgement = judge(taken.book)
    _check(taken, judgement)
    other = judge(take(mine, [*reversed(offered), *offered]).book)
    must(other == judgement, "the order of statements makes other members")
    kept = new_entries(mine, relevant(taken.book).statements())
    must(judge(kept).members == judgement.members, "what is kept makes other members")
    admissions_to_keep(taken.book, judgement)
    return bool(taken.fresh)


def _statement(step: Any) -> SignedCircleStatement | None:
    match step:
        case bytes():
            return attempt(SignedCircleStatement.from_bytes, step)
        case [int() | bool() as kind, int(signer), int(subject), int(number)]:
            return _signed(kind % 3, signer, subject, number)
        case [int() | bool() as kind, int(signer), int(subject), int(number), int(at), int(bits)]:
            return _altered(_signed(kind % 3, signer, subject, number), at, bits)
    return None


def _signed(kind: int, signer: int, subject: int, number: int) -> SignedCircleStatement | None:
    by, about = _DEVICES[signer % len(_DEVICES)], _DEVICES[subject % len(_DEVICES)]
    counted = _NUMBERS[number % len(_NUMBERS)]
    if by == about:
        return None
    return admits(by, about, counted) if kind == 0 else revokes(by, about, counted, disowns=kind == 2)


def _altered(signed: SignedCircleStatement | None, at: int, bits: int) -> SignedCircleStatement | None:
    if signed is None or not bits & 0xFF:
        return signed
    data = bytearray(signed.to_bytes())
    data[at % len(data)] ^= bits & 0xFF
    return attempt(SignedCircleStatement.from_bytes, bytes(data))


def _check(taken: Taken, judgement: Judgement) -> None:
    """Everything in a book was signed by who is heard; members are admitted by members; bounds hold."""
    by_signer: dict[DeviceId, int] = {}
    for signed in taken.book.statements():
        statement = signed.read()
        key = _keys().get(statement.signer)
        must(key is not None, "a statement of a device that there is not was taken")
        assert key is not None
        must(attempt(verify_circle_statement, signed, key) == statement, "a forged statement was taken")
        by_signer[statement.signer] = by_signer.get(statement.signer, 0) + 1
    must(max(by_signer.values(), default=0) <= MAX_CIRCLE_BY_SIGNER, "a device says more than it may")
    must(sum(by_signer.values()) <= MAX_CIRCLE_STATEMENTS, "a book has more than it may")
    me = device(_ME).device
    must(me not in judgement.members, "a device is its own member")
    must(not (judgement.expelled and judgement.members), "who is expelled has members")
    for subject, member in judgement.members.items():
        must(member.identity.device == subject, "a member has another's keys")
        must(member.by == me or member.by in judgement.members, "a member was introduced by who is none")
        must(member.number > judgement.number_of(subject), "a member was revoked")


@cache
def _keys() -> dict[DeviceId, bytes]:
    return {device(name).device: device(name).public.identity_key for name in _DEVICES}


def _parsed(data: bytes) -> bool:
    signed = attempt(SignedCircleStatement.from_bytes, data)
    must(signed is None or signed.to_bytes() == data, "two spellings of one signed statement")
    statement = attempt(decode_circle_statement, data)
    if statement is None:
        return signed is not None
    must(encode_circle_statement(statement) == data, "two spellings of one statement")
    must(not isinstance(statement, Admission) or len(statement.name) <= 200, "a name out of bounds")
    return True


def _seeds() -> list[bytes]:
    golden = strings(vector("circle"))
    true: list[list[Any]] = [
        [[0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 2, 0], [0, 2, 1, 0]],
        [[0, 0, 1, 0], [0, 1, 2, 0], [1, 0, 2, 0], [0, 1, 2, 1]],
        [[0, 0, 1, 0], [0, 1, 2, 0], [2, 0, 1, 0], [0, 2, 3, 0]],
        [[0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [0, 3, 4, 3]],
        [[0, 0, 1, 0], [0, 1, 2, 0, 40, 1], [1, 2, 0, 3]],
        [[0, 0, 1, 0], [0, 1, 2, 0, -1, 1], [1, 1, 3, 0, -40, 8]],
    ]
    whole = [signed.to_bytes() for signed in (*linked("a", "b"), revokes("b", "c", disowns=True))]
    return [*golden, *whole, *(signed.body for signed in linked("a", "b")), *(cbor2.dumps(item) for item in true)]


TARGETS = (
    Target(
        "circle",
        "one spelling; members by the word of members alone, in any order; nothing forged, nothing beyond its bounds",
        _said,
        Shape.CBOR,
        _seeds,
        8_192,
    ),
)
