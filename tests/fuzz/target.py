# SPDX-License-Identifier: Apache-2.0
"""What a fuzz target is: a function that takes any bytes, and says by an exception that a promise was broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import cbor2

from p2p_handoff.errors import HandoffError, LocalProtocolError

T = TypeVar("T")


class Shape(Enum):
    """What the inputs of a target are made of: how they are mutated."""

    CBOR = "cbor"
    TEXT = "text"
    RAW = "raw"


class BrokenPromiseError(AssertionError):
    """The product did with an input what it never may; the text says what."""


@dataclass(frozen=True, slots=True)
class Target:
    """One part of the product that takes what a stranger or a peer sends."""

    name: str
    promise: str
    """What must hold for every input."""
    run: Callable[[bytes], bool]
    """Runs one input. True: it was taken; False: refused by a typed error, or no input of this target."""
    shape: Shape
    seeds: Callable[[], Sequence[bytes]]
    """Good inputs: golden vectors and real traffic."""
    max_bytes: int = 4096
    """Of a mutated input."""


def must(condition: object, promise: str) -> None:
    """Check a promise.

    Raises:
        BrokenPromiseError: It does not hold.
    """
    if not condition:
        raise BrokenPromiseError(promise)


def attempt(act: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
    """What a function makes of an input; None where it refuses it by a typed error.

    Raises:
        BrokenPromiseError: It raises LocalProtocolError, which no input from outside may cause.
    """
    try:
        return act(*arguments, **named)
    except LocalProtocolError as error:
        raise BrokenPromiseError(f"input from outside counts as our own defect: {error.what}") from error
    except HandoffError:
        return None


def refused(act: Callable[..., object], *arguments: Any, **named: Any) -> bool:
    """Whether a function that returns nothing refuses an input."""
    return attempt(lambda: (act(*arguments, **named), True)) is None


def plan(data: bytes) -> list[Any] | None:
    """An input that is a list of steps, in CBOR; None for any other. No part of the product is involved."""
    try:
        value = cbor2.loads(data, max_depth=32)
    except Exception:  # noqa: BLE001 - whatever the mutator made: this is the harness, not the product
        return None
    return value if isinstance(value, list) else None
