# SPDX-License-Identifier: Apache-2.0
"""What a relay's reasons mean to a person. Layer: signaling, pure. Specification: docs/specs/signaling.md §7."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from p2p_handoff.errors import HandoffError, LinkCodeError, NotFoundError, RejectedError, UnreachableError
from signaling.messages import Farewell, Refusal, RoomEnd

_REFUSALS: Final[Mapping[Refusal, str]] = MappingProxyType(
    {
        Refusal.ABSENT: "the device is not connected to this relay",
        Refusal.BUSY: "the other side takes messages too slowly",
        Refusal.FORBIDDEN: "the relay does not serve this",
        Refusal.TAKEN: "this nameplate or room is in use",
        Refusal.NO_ROOM: "no such room is open",
        Refusal.CROWDED: "somebody else has joined this room already",
        Refusal.BURNT: "this room was used up",
        Refusal.FULL: "the relay has no space left for this",
        Refusal.TOO_FAST: "too many rooms were asked for from this address",
    }
)

_ADVICE: Final[Mapping[Refusal, str]] = MappingProxyType(
    {
        Refusal.CROWDED: "make a new code, and tell it to nobody else",
        Refusal.BURNT: "make a new code",
        Refusal.NO_ROOM: "check the code, or make a new one",
        Refusal.TOO_FAST: "wait a minute",
    }
)

_UNREACHABLE: Final = frozenset({Refusal.ABSENT, Refusal.BUSY})
_SPENT: Final = frozenset({Refusal.CROWDED, Refusal.BURNT})

ROOM_ENDS: Final[Mapping[RoomEnd, str]] = MappingProxyType(
    {
        RoomEnd.LEFT: "the other party left the room",
        RoomEnd.EXPIRED: "the room's time is over",
    }
)

FAREWELLS: Final[Mapping[Farewell, str]] = MappingProxyType(
    {
        Farewell.BAD_MESSAGE: "the relay did not understand a message",
        Farewell.BAD_LOGIN: "the relay did not accept this device's signature",
        Farewell.WRONG_HOST: "the relay does not know the name that it was dialled by as its own",
        Farewell.VERSION: "the relay speaks no version in common",
        Farewell.FORBIDDEN: "the relay does not serve this device",
        Farewell.TOO_SLOW: "the relay found this connection too slow",
        Farewell.REPLACED: "this device connected to the relay a second time",
        Farewell.SHUTDOWN: "the relay shut down",
    }
)
"""A clause for each reason, as ``RelayPort.closed`` carries it."""


def refusal_error(refusal: Refusal) -> HandoffError:
    """The error that a refused request raises."""
    what, advice = _REFUSALS[refusal], _ADVICE.get(refusal, "")
    if refusal in _UNREACHABLE:
        return UnreachableError(what, advice=advice)
    if refusal in _SPENT:
        return LinkCodeError(what, advice=advice)
    if refusal is Refusal.NO_ROOM:
        return NotFoundError(what, advice=advice)
    return RejectedError(what, reason=refusal.value, advice=advice)
