# SPDX-License-Identifier: Apache-2.0
"""The one error tree. Layer: bottom, imports nothing. Specification: docs/specs/errors.md.

HandoffError                     1  anything unexpected
├── UsageError                   2  the caller asked for something that makes no sense
│   └── AmbiguousError           2  a prefix or name fits several things
├── PolicyError                  2  this device's own settings do not allow it
├── RejectedError                3  the other side said no, with a machine-readable reason
├── NotFoundError                4  no such session, peer, token, path
├── UnreachableError             4  the peer, relay or agent cannot be reached
│   └── EngineError              4  the WebRTC connection could not be opened, or broke
├── TimedOutError                5  a deadline passed
│   └── RestlessError            5  the session changes faster than the allowed pause can take
├── TrustError                   6  identity, linking or integrity failed
│   ├── LinkCodeError            6  a wrong, expired or burnt code
│   ├── IntegrityError           6  content that does not match its digest
│   ├── SealError                6  an envelope or frame that does not open
│   ├── VersionError             6  no protocol version in common
│   ├── SecretsError             6  what should leave holds secrets that must not
│   └── KeyringError             6  the keyring with this device's keys cannot be used
├── CancelledError               7  somebody cancelled
├── InDoubtError                 8  frozen, and the answer is outstanding: nothing is lost
├── StorageError                 1  disk failing or read-only, failed sync
│   └── NoSpaceError             1  disk full
├── ContentGoneError             1  a source file vanished or changed while it was read
├── PathError                    6  a name that this device must not or cannot represent
├── RemoteProtocolError          6  the peer broke the protocol
└── LocalProtocolError           1  we misused our own protocol core: a defect
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line (docs/specs/errors.md)."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    REJECTED = 3
    NOT_FOUND = 4
    TIMED_OUT = 5
    TRUST = 6
    CANCELLED = 7
    IN_DOUBT = 8
    STOPPED = 9


class HandoffError(Exception):
    """Base of every error that this project raises on purpose.

    Args:
        what: What happened, as a clause without a full stop.
        state: What state the session is in; omit where no session is concerned.
        advice: What the user can do now.
    """

    exit_code = ExitCode.UNEXPECTED
    code = "unexpected"

    def __init__(self, what: str, *, state: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.state = state
        self.advice = advice

    @property
    def sentence(self) -> str:
        """One sentence for a person: what happened, what state the session is in, what to do."""
        return "; ".join(clause for clause in (self.what, self.state, self.advice) if clause) + "."


class UsageError(HandoffError):
    """The caller asked for something that makes no sense."""

    exit_code = ExitCode.USAGE
    code = "usage"


class AmbiguousError(UsageError):
    """A name or prefix fits several things."""

    code = "ambiguous"


class PolicyError(HandoffError):
    """This device's own settings do not allow it."""

    exit_code = ExitCode.USAGE
    code = "policy"


class RejectedError(HandoffError):
    """The other side said no.

    Args:
        what: What happened.
        reason: Machine-readable reason: one of protocol.messages.RejectReason's values.
    """

    exit_code = ExitCode.REJECTED
    code = "rejected"

    def __init__(self, what: str, *, reason: str = "declined", state: str = "", advice: str = "") -> None:
        super().__init__(what, state=state, advice=advice)
        self.reason = reason


class NotFoundError(HandoffError):
    """No such session, peer, token or path."""

    exit_code = ExitCode.NOT_FOUND
    code = "not-found"


class UnreachableError(HandoffError):
    """The peer, the relay or the agent cannot be reached, or went away."""

    exit_code = ExitCode.NOT_FOUND
    code = "unreachable"


class TimedOutError(HandoffError):
    """A deadline passed."""

    exit_code = ExitCode.TIMED_OUT
    code = "timed-out"


class RestlessError(TimedOutError):
    """The session changes faster than what changes can be copied within the pause that the user allows."""

    code = "restless"


class TrustError(HandoffError):
    """Identity, linking or integrity failed."""

    exit_code = ExitCode.TRUST
    code = "trust"


class LinkCodeError(TrustError):
    """A wrong, expired or burnt link code."""

    code = "link-code"


class IntegrityError(TrustError):
    """Content that does not match its digest."""

    code = "integrity"


class SealError(TrustError):
    """An envelope or a frame that does not open: wrong key, altered, replayed or out of order."""

    code = "seal"


class VersionError(TrustError):
    """No protocol version in common; the sentence names both."""

    code = "version"


class SecretsError(TrustError):
    """What should go to somebody else's device looks as if it held secrets; nothing of it left."""

    code = "secrets"


class KeyringError(TrustError):
    """The keyring that has, or shall have, this device's keys is locked, gone, or does not answer."""

    code = "keyring"


class CancelledError(HandoffError):
    """Somebody cancelled."""

    exit_code = ExitCode.CANCELLED
    code = "cancelled"


class StoppedError(HandoffError):
    """This device's agent was stopped, in order, before it was done."""

    exit_code = ExitCode.STOPPED
    code = "stopped"


class InDoubtError(HandoffError):
    """The session is frozen and the target's answer is outstanding. Nothing is lost."""

    exit_code = ExitCode.IN_DOUBT
    code = "in-doubt"


class StorageError(HandoffError):
    """Disk full, read-only, or a sync that failed."""

    code = "storage"


class NotInPlaceError(StorageError):
    """What lies at a session's places is between two states: what was accepted is put there first."""

    code = "not-in-place"


class NoSpaceError(StorageError):
    """The disk is full, or has no room for what is to come."""

    code = "no-space"


class ContentGoneError(HandoffError):
    """A source file vanished or changed while it was read: the next round names its new content."""

    code = "content-gone"


class PathError(HandoffError):
    """A name that this device must not or cannot represent."""

    exit_code = ExitCode.TRUST
    code = "path"


class RemoteProtocolError(HandoffError):
    """The peer broke the protocol."""

    exit_code = ExitCode.TRUST
    code = "peer-protocol"


class LocalProtocolError(HandoffError):
    """We misused our own protocol core: a defect on this side."""

    code = "local-protocol"


class EngineError(UnreachableError):
    """The WebRTC connection could not be opened, or broke."""

    code = "engine"
