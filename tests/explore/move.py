# SPDX-License-Identifier: Apache-2.0
"""A world as small numbers, the numbers, and a device's next step as it was worked out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import messages as msg
from tests.explore import cast, invariants
from tests.explore.device import Device, Doing

T = TypeVar("T")
Net = Any
"""As it arrives at any time, a bit for each message sent; else for each direction the messages in order."""


class World(NamedTuple):
    """One state of everything."""

    devices: tuple[int, ...]
    net: Net
    links: int
    """A bit for each pair of devices that is connected, and one more once a device is gone for good."""
    acked: int
    """Number of what was acknowledged so far."""
    next_txn: int
    crashes: int
    cuts: int


class Numbers(Generic[T]):
    """Numbers for values, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.of: dict[T, int] = {}
        self.values: list[T] = []

    def number(self, value: T) -> int:
        known = self.of.get(value)
        if known is None:
            known = self.of[value] = len(self.values)
            self.values.append(value)
        return known


@dataclass(frozen=True, slots=True)
class Move:
    """What one device may do next, worked out."""

    label: str
    progress: bool
    up: int
    """Bits of links that must be there."""
    down: int
    """Bits of links that must not be there."""
    begins: bool
    then: int
    sends: tuple[tuple[int, int], ...]
    """Link and message."""
    acks: tuple[tuple[SessionId, int, int], ...]
    crashes: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    """A crash between two effects: the device as it starts again, and what it had sent."""
    message: int = -1
    violation: str | None = None


def broken(device: Device, doing: Doing) -> str | None:
    """What one step breaks by itself."""
    broken = (
        invariants.bad_step(device.durable, doing.durable)
        or invariants.not_ready(device, doing.durable)
        or invariants.bad_change(device.durable, doing.durable)
        or invariants.bad_old_copy(device, doing.device())
    )
    halves = [*doing.marks, (doing.durable, len(doing.sends))]
    said = (invariants.said_too_early(durable, doing.sends[:sent]) for durable, sent in halves)
    return broken or next((words for words in said if words), None)


def describe(message: Any) -> str:
    """A message in a trace."""
    if isinstance(message, msg.Hello):
        return f"Hello(counter {message.counter}, saw {message.seen})"
    if isinstance(message, msg.News):
        told = ", ".join(f"epoch {item.epoch} of {cast.NAMES[cast.numbers()[item.primary]]}" for item in message.owners)
        return f"News(counter {message.counter}: {told or 'nothing'})"
    if not hasattr(message, "txn"):
        return type(message).__name__
    number = cast.txn_numbers().get(message.txn, 0)
    extra = ""
    if hasattr(message, "nonce"):
        extra = f", nonce {message.nonce[-1]}"
    return f"{type(message).__name__}(txn {number}{extra})"
