# SPDX-License-Identifier: Apache-2.0
"""Vocabulary of the linking exchange: sides, states, what goes in and what comes out. Layer: security, pure.

Specification: docs/specs/link.md §3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from p2p_handoff.ids import DeviceId, Entropy, RoomId
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.versions import Versions
from p2p_handoff.security.words import LinkCode

LINK_VERSIONS: Final[Versions] = (1,)
"""Versions of the linking exchange that this code speaks."""


class Role(Enum):
    """The two sides of a code."""

    OPENER = "opener"
    """Made the code and shows it."""
    JOINER = "joiner"
    """Was given the code and types it."""

    @property
    def other(self) -> Role:
        """The opposite side."""
        return Role.JOINER if self is Role.OPENER else Role.OPENER


class Purpose(Enum):
    """What a code is for: both sides must mean the same."""

    LINK = "link"
    """Two devices that shall know each other from now on."""
    COPY = "copy"
    """A one-off ``send`` and ``receive``."""


class LinkKind(Enum):
    """A person's answer: whose device is the other one?"""

    OWN = "own"
    OTHER = "other"


class AbortReason(Enum):
    """Why a side gives up."""

    FAILED = "failed"
    """The code did not match, or a message was not what it should be."""
    CANCELLED = "cancelled"
    """A person stopped it."""
    EXPIRED = "expired"
    VERSION = "version"


class LinkState(Enum):
    """What the exchange waits for."""

    NEW = auto()
    GREETING = auto()
    CONFIRMING = auto()
    REVEALING = auto()
    PROVING = auto()
    DECIDING = auto()
    COMPLETE = auto()
    DECLINED = auto()
    BURNT = auto()


FINAL_STATES: Final = frozenset((LinkState.COMPLETE, LinkState.DECLINED, LinkState.BURNT))


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """What one side brings to the exchange.

    Args:
        role: OPENER for the side that made the code.
        code: The code, the same on both sides.
        room: The relay room that it belongs to.
        identity: This device.
        name: Its display name, at most MAX_TITLE characters.
        started_at: When the code was made or typed, in seconds on the clock that ``now`` is read from.
        entropy: Source of random bytes.
        purpose: What the code is for.
        versions: Versions of the exchange that this side speaks.
        ended: How many admissions of a device to the circle have ended (docs/specs/circle.md §4).
    """

    role: Role
    code: LinkCode
    room: RoomId
    identity: Identity = field(repr=False)
    name: str
    started_at: float
    entropy: Entropy = field(repr=False)
    purpose: Purpose = Purpose.LINK
    versions: Versions = LINK_VERSIONS
    ended: Callable[[DeviceId], int] = field(default=lambda _device: 0, repr=False)


@dataclass(frozen=True, slots=True)
class LinkResult:
    """Who the other side is, proved; nobody has agreed to anything yet."""

    peer: PublicIdentity
    peer_name: str
    verification: str
    """Words that both sides show, equal unless something is wrong."""


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """Both people said yes: pin the peer."""

    peer: PublicIdentity
    peer_name: str
    mine: LinkKind
    theirs: LinkKind
    ended: int = 0
    """How many admissions of the peer to the circle have ended, as far as either side knows."""

    @property
    def kind(self) -> LinkKind:
        """OWN only when both sides said so."""
        return LinkKind.OWN if self.mine is self.theirs is LinkKind.OWN else LinkKind.OTHER
