# SPDX-License-Identifier: Apache-2.0
"""The source's half of a handoff: its states, what happens to it, what it does. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §6. An event, local or a message, goes into ``source_rules.step``; the effects
that come out are carried out in order: a durable write (``Store…``) must have completed before the next one starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol.messages import Accept, Accepted, Cancel, Mode, Ready, Refused, Reject, RejectReason, Resumed
from p2p_handoff.protocol.outcome import Outcome


class SourceState(Enum):
    """Where the source is."""

    OFFERED = "offered"
    """The request is out; the target reviews it."""
    COPYING = "copying"
    """Rounds are copied while the source keeps working."""
    FREEZING = "freezing"
    """Watchers are drained, the last picture is taken. Not durable yet."""
    FROZEN = "frozen"
    """Durable. A grant may be out: only the target decides now."""
    FINISHING = "finishing"
    """Copy mode: the last picture is announced."""
    RELEASED = "released"
    """The target is the primary."""
    ENDED = "ended"
    """Nothing more will happen."""


@dataclass(frozen=True, slots=True)
class Source:
    """One outgoing handoff."""

    txn: TxnId
    session: SessionId
    target: DeviceId
    mode: Mode = Mode.MOVE
    state: SourceState = SourceState.OFFERED
    parts: tuple[PartId, ...] = ()
    """What the target accepted."""
    round: int = 0
    nonce: bytes = b""
    """From the Ready of the current round; empty while that is awaited."""
    cancel_asked: bool = False


# --- local events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection to the target is open: the first one, or a new one after a break."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection broke."""


@dataclass(frozen=True, slots=True)
class RemainderLarge:
    """Too much changed since the last round: copy another one first."""


@dataclass(frozen=True, slots=True)
class RemainderSmall:
    """What changed since the last round fits into the allowed pause."""


@dataclass(frozen=True, slots=True)
class FinalTaken:
    """All accepted parts are frozen and pictured."""

    root: bytes


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """A picture could not be taken, or the rounds do not converge."""

    text: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The user of this side cancels."""

    text: str


@dataclass(frozen=True, slots=True)
class Expired:
    """Nobody answered the offer in time."""


@dataclass(frozen=True, slots=True)
class LearnedAccepted:
    """A verified chain from any device holds the ACCEPTED of this handoff."""

    chain: bytes


@dataclass(frozen=True, slots=True)
class LearnedLater:
    """A verified chain from any device went on without this handoff: this home was rolled back."""

    chain: bytes


@dataclass(frozen=True, slots=True)
class ResumeOverdue:
    """The target, the primary by now, does not say that the session is in place."""


# --- effects ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendOffer:
    """Send Init and Request."""


@dataclass(frozen=True, slots=True)
class SendRound:
    """Send a Round with this number; with a fresh picture if ``fresh``, else with the latest."""

    number: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """Take a picture and answer RemainderLarge or RemainderSmall."""


@dataclass(frozen=True, slots=True)
class FreezeParts:
    """Freeze the accepted parts and answer FinalTaken or SourceFailed."""


@dataclass(frozen=True, slots=True)
class ThawParts:
    """Edits are normal edits again."""


@dataclass(frozen=True, slots=True)
class StoreFrozen:
    """Durable: FROZEN {txn, target, root}."""

    root: bytes


@dataclass(frozen=True, slots=True)
class SendGrant:
    """Sign (or fetch the stored) grant, quoting the nonce, and send it."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class SendFinish:
    """Copy mode: send Finish with the latest picture."""


@dataclass(frozen=True, slots=True)
class SendQuery:
    """Ask the target for its decision."""


@dataclass(frozen=True, slots=True)
class SendCancel:
    """Tell the target that this side gives up."""

    reason: RejectReason
    text: str


@dataclass(frozen=True, slots=True)
class StoreReleased:
    """Durable: RELEASED, this device is secondary; the statement has been verified by the shell."""

    statement: bytes


@dataclass(frozen=True, slots=True)
class StoreThawed:
    """Durable: primary again; the statement has been verified by the shell."""

    statement: bytes


@dataclass(frozen=True, slots=True)
class StoreLearned:
    """Durable: what the chain proves, by which this device is secondary; it has been verified by the shell."""

    chain: bytes


@dataclass(frozen=True, slots=True)
class ReleaseParts:
    """Tell the adapters that the target owns the parts now."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Report the outcome."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Frozen without a connection: keep trying to reach the target."""


SourceEvent = (
    Connected
    | Disconnected
    | RemainderLarge
    | RemainderSmall
    | FinalTaken
    | SourceFailed
    | CancelAsked
    | Expired
    | ResumeOverdue
    | LearnedAccepted
    | LearnedLater
    | Accept
    | Reject
    | Ready
    | Accepted
    | Refused
    | Cancel
    | Resumed
)
SourceEffect = (
    SendOffer
    | SendRound
    | Survey
    | FreezeParts
    | ThawParts
    | StoreFrozen
    | SendGrant
    | SendFinish
    | SendQuery
    | SendCancel
    | StoreReleased
    | StoreThawed
    | StoreLearned
    | ReleaseParts
    | Ended
    | InDoubt
)

SOURCE_MESSAGES: Final = (Accept, Reject, Ready, Accepted, Refused, Cancel, Resumed)
"""Events that come from the peer."""
