# SPDX-License-Identifier: Apache-2.0
"""The target's half of a handoff: its states, what happens to it, what it does. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §7. An event, local or a message, goes into ``target_rules.step``; the effects
that come out are carried out in order: a durable write (``Store…``) must have completed before the next one starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol.messages import Cancel, Finish, Mode, Query, RejectReason, Request, Round
from p2p_handoff.protocol.outcome import Outcome


class TargetState(Enum):
    """Where the target is."""

    NEW = "new"
    """An Init arrived, or a message about a txn that this device does not remember."""
    REVIEWING = "reviewing"
    """The offer waits for an answer."""
    COPYING = "copying"
    """A round is being fetched, or the next one is awaited."""
    READY = "ready"
    """Everything of the latest round is here; a nonce is out."""
    SEALING = "sealing"
    """A grant arrived: the last delta is fetched, verified and synced."""
    ACCEPTED = "accepted"
    """Durable: this device is the primary, and puts the session in place. A copy is put in place, without ownership."""
    RESUMED = "resumed"
    """The session is in place."""
    REFUSED = "refused"
    """Durable: this device will never accept this txn."""
    ENDED = "ended"
    """Over before any grant."""


@dataclass(frozen=True, slots=True)
class Target:
    """One incoming handoff."""

    txn: TxnId
    session: SessionId
    source: DeviceId
    mode: Mode = Mode.MOVE
    state: TargetState = TargetState.NEW
    parts: tuple[PartId, ...] = ()
    """What was accepted."""
    round: int = 0
    """The round that is fetched or was fetched last; 0 while one is awaited."""
    outcome: Outcome | None = None
    """How it ended, to be said again to a source that missed it."""


# --- local events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserAccepted:
    """The user, or the rule for own devices, takes these parts."""

    parts: tuple[PartId, ...]


@dataclass(frozen=True, slots=True)
class UserRejected:
    """The user, or a rule, says no."""

    reason: RejectReason
    text: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """All that could be fetched of a round is here."""

    number: int
    complete: bool


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """A round cannot be stored here."""

    reason: RejectReason
    text: str


@dataclass(frozen=True, slots=True)
class GrantVerified:
    """A grant arrived whose signature, chain, txn and nonce are right."""

    manifest: bytes


@dataclass(frozen=True, slots=True)
class GrantUnusable:
    """A genuine grant of this txn arrived that quotes another nonce or something this device does not hold."""

    text: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """Everything under the granted root is verified and synced to disk."""


@dataclass(frozen=True, slots=True)
class SealFailed:
    """Something under the granted root is missing, wrong, or cannot be stored."""

    reason: RejectReason
    text: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The session is in place."""


@dataclass(frozen=True, slots=True)
class TargetCancelAsked:
    """The user of this side cancels."""

    text: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The source did not come back in time, before any grant."""


# --- effects ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskUser:
    """Show the offer; answer UserAccepted or UserRejected."""


@dataclass(frozen=True, slots=True)
class SendAccept:
    """Tell the source which parts are taken."""

    parts: tuple[PartId, ...]


@dataclass(frozen=True, slots=True)
class SendReject:
    """Tell the source no."""

    reason: RejectReason
    text: str


@dataclass(frozen=True, slots=True)
class FetchRound:
    """Fetch what is missing; answer Fetched or FetchFailed."""

    number: int
    manifest: bytes


@dataclass(frozen=True, slots=True)
class SendReady:
    """Make a fresh nonce, keep it in memory only, and send Ready."""

    number: int
    complete: bool


@dataclass(frozen=True, slots=True)
class SealGranted:
    """Fetch the last delta, verify and sync; answer Sealed or SealFailed."""

    manifest: bytes


@dataclass(frozen=True, slots=True)
class StoreAccepted:
    """Durable, in one transaction: ACCEPTED {txn}, this device primary at epoch + 1. The commit point."""


@dataclass(frozen=True, slots=True)
class StoreRefused:
    """Durable: REFUSED {txn}."""

    text: str


@dataclass(frozen=True, slots=True)
class SendDecision:
    """Send the stored Accepted or Refused."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Put in place, resume, then raise Committed."""


@dataclass(frozen=True, slots=True)
class SendResumed:
    """Tell the source that the session is in place."""


@dataclass(frozen=True, slots=True)
class AbandonStaging:
    """Remove what was staged."""


@dataclass(frozen=True, slots=True)
class TargetSendCancel:
    """Tell the source that this side gives up."""

    reason: RejectReason
    text: str


@dataclass(frozen=True, slots=True)
class TargetEnded:
    """Report the outcome."""

    outcome: Outcome


TargetEvent = (
    UserAccepted
    | UserRejected
    | Fetched
    | FetchFailed
    | GrantVerified
    | GrantUnusable
    | Sealed
    | SealFailed
    | Committed
    | TargetCancelAsked
    | Abandoned
    | Request
    | Round
    | Finish
    | Query
    | Cancel
)
TargetEffect = (
    AskUser
    | SendAccept
    | SendReject
    | FetchRound
    | SendReady
    | SealGranted
    | StoreAccepted
    | StoreRefused
    | SendDecision
    | Commit
    | SendResumed
    | AbandonStaging
    | TargetSendCancel
    | TargetEnded
)

TARGET_MESSAGES: Final = (Request, Round, Finish, Query, Cancel, GrantVerified, GrantUnusable)
"""Events that come from the peer."""
