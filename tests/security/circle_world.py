# SPDX-License-Identifier: Apache-2.0
"""A few devices and what they say about each other, for the tests of circles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from p2p_handoff.security.circle import Book, Judgement, judge, take
from p2p_handoff.security.circle_statements import (
    Admission,
    Revocation,
    SignedCircleStatement,
    sign_circle_statement,
)
from p2p_handoff.security.identity import Identity


@cache
def device(name: str) -> Identity:
    """The keys of the device of a name; not secret."""
    seed = hashlib.shake_256(f"circle {name}".encode()).digest(128)
    return Identity(
        Ed25519PrivateKey.from_private_bytes(seed[:32]),
        MLKEM768PrivateKey.from_seed_bytes(seed[32:96]),
        X25519PrivateKey.from_private_bytes(seed[96:]),
    )


@cache
def admits(signer: str, subject: str, number: int = 1) -> SignedCircleStatement:
    """``signer`` says that ``subject`` is an own device."""
    by = device(signer)
    return sign_circle_statement(by, Admission(by.device, device(subject).public, subject, number))


@cache
def revokes(signer: str, subject: str, number: int = 1, *, disowns: bool = False) -> SignedCircleStatement:
    """``signer`` says that ``subject`` is to be trusted no longer."""
    by = device(signer)
    return sign_circle_statement(by, Revocation(by.device, device(subject).device, number, disowns))


def linked(one: str, other: str, number: int = 1) -> tuple[SignedCircleStatement, ...]:
    """What both say once their person has linked them by code."""
    return admits(one, other, number), admits(other, one, number)


def book(me: str, said: Iterable[SignedCircleStatement]) -> Book:
    """What a device holds that heard all of that."""
    return take(Book(device(me).public), said).book


def judged(me: str, said: Iterable[SignedCircleStatement]) -> Judgement:
    """What follows from that."""
    return judge(book(me, said))


def members(me: str, said: Iterable[SignedCircleStatement]) -> set[str]:
    """The names of the members."""
    return {member.name for member in judged(me, said).members.values()}
