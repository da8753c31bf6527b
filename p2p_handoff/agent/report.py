# SPDX-License-Identifier: Apache-2.0
"""What a handoff reports when it ends: the stable keys of the command line. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import accumulate, takewhile
from typing import Any, Final

from p2p_handoff.agent.profile import Profile
from p2p_handoff.errors import (
    CancelledError,
    HandoffError,
    InDoubtError,
    NoSpaceError,
    RejectedError,
    StoppedError,
    TimedOutError,
)
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import KIB
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.session.manifest import Part


@dataclass(frozen=True, slots=True)
class Report:
    """One finished (or doubtful) handoff as one side saw it."""

    outcome: str
    """``done``, ``rejected``, ``cancelled``, ``failed`` or ``in-doubt``."""
    txn: str
    session: str
    title: str
    peer: str
    """Display name of the other device."""
    epoch: int
    """The session's epoch after it."""
    seconds: float
    pause_ms: float
    """Source frozen → target may act, as measured on this side; 0 for a copy."""
    sent_bytes: int
    received_bytes: int
    engine: str
    path: str
    """How the devices reached each other: host, reflexive, relayed."""
    rounds: int
    into: tuple[str, ...] = ()
    """Where the parts are on the target; empty on the source."""
    conflicts: tuple[str, ...] = ()
    """Copies kept because this device had changed the same thing."""
    withheld: tuple[str, ...] = ()
    """Names of parts that stayed on the source, since its settings do not let them leave."""
    left_out: tuple[str, ...] = ()
    """What could not be handed over and stayed on the source: sockets, fifos, devices, names like those of stagings."""
    secrets: tuple[dict[str, Any], ...] = ()
    """What looks like a secret in what was handed over, and what was kept back of it for that."""
    root: str = ""
    """Digest of the manifest that was handed over."""
    resumed: str = ""
    """What ran on resume, or why nothing did."""
    reason: str = ""
    text: str = ""
    sent_objects: int = 0
    """Objects sent, each time they were."""
    received_objects: int = 0
    """Objects staged, each time they were: more than the session has would mean that a break cost some twice."""
    reused_chunks: int = 0
    """Pieces of what changed that the target had already."""
    reused_bytes: int = 0
    exit_code: int = 0
    """The command line's exit code for it (docs/specs/errors.md)."""
    profile: Profile = field(default_factory=Profile, compare=False)
    """Where the time went on this device."""
    error: HandoffError | None = field(default=None, compare=False)
    """What Python callers raise for it; None when it is done. Not part of the JSON."""

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "error"}
        lists = ("into", "conflicts", "withheld", "left_out", "secrets")
        return {**values, **{name: list(values[name]) for name in lists}, "profile": self.profile.as_json()}


def secrets_as_json(parts: Iterable[Part], name_of: Callable[[DeviceId], str]) -> list[dict[str, Any]]:
    """What parts list as secrets, under stable keys: where and which kind, never which one.

    Args:
        parts: Of a manifest.
        name_of: Display name of a device.
    """
    return [
        {
            "part": part.id,
            "name": part.name,
            "path": secret.path.decode("utf-8", "replace"),
            "kind": secret.kind,
            "withheld": secret.held_by is not None,
            "held_by": "" if secret.held_by is None else name_of(secret.held_by),
        }
        for part in parts
        for secret in part.secrets
    ]


LISTED_BYTES: Final = 128 * KIB
"""Bytes of what a peer lists as secrets that are told of it: a line of the local socket has many such lists."""


def first_that_fit(items: Sequence[dict[str, Any]], most: int) -> tuple[list[dict[str, Any]], int]:
    """The first of a list that take at most so many bytes as JSON, and how many are left."""
    sizes = accumulate(len(json.dumps(item)) + 1 for item in items)
    fitting = sum(1 for _ in takewhile(lambda size: size <= most, sizes))
    return list(items[:fitting]), len(items) - fitting


STILL_PRIMARY: Final = "the session is unchanged and still here"
_STILL_THERE: Final = "the session stays where it was"
SEE_LOG: Final = "see the agent's log"
START_AGAIN: Final = "the next command starts the agent again: try again"


def outcome_error(
    outcome: Outcome, peer: str, cause: HandoffError | None = None, *, source: bool = True
) -> HandoffError | None:
    """The error that an outcome stands for; None when it is done.

    Args:
        outcome: How the handoff ended.
        peer: Display name of the other device.
        cause: What went wrong on this side, if that is what ended it.
        source: True on the device that handed over.
    """
    reason = outcome.reason or RejectReason.FAILED
    state = STILL_PRIMARY if source else _STILL_THERE
    match outcome.result:
        case Result.DONE:
            return None
        case Result.REJECTED:
            because = outcome.text or reason.value
            return RejectedError(f"{peer} said no: {because}", reason=reason.value, state=state)
        case Result.CANCELLED | Result.FAILED if cause is not None and cause.what == outcome.text:
            return _as_it_stands(cause, state)
        case Result.CANCELLED:
            return CancelledError("the handoff was cancelled", state=state)
        case Result.IN_DOUBT:
            return InDoubtError(
                outcome.text or f"{peer} went away before it answered the grant",
                state="the session is frozen here and nothing is lost",
                advice="it resolves by itself when the devices meet; 'handoff recover' shows it",
            )
        case Result.FAILED:
            return _failure(reason, outcome.text, peer, state)


def stopped(state: str = "") -> StoppedError:
    """The agent stops while a handoff is under way that can begin anew.

    Args:
        state: Where the session is.
    """
    return StoppedError("the agent stopped before the handoff was done", state=state, advice=START_AGAIN)


def _as_it_stands(cause: HandoffError, state: str) -> HandoffError:
    """The same kind of error, with what is true of the session now."""
    advice = cause.advice or "try again"
    if isinstance(cause, RejectedError):
        return RejectedError(cause.what, reason=cause.reason, state=state, advice=advice)
    return type(cause)(cause.what, state=state, advice=advice)


def _failure(reason: RejectReason, text: str, peer: str, state: str) -> HandoffError:
    if reason is RejectReason.EXPIRED:
        return TimedOutError(f"{peer} did not answer in time", state=state, advice="try again")
    if reason is RejectReason.NO_SPACE:
        return NoSpaceError(f"{peer}: {text}", state=state, advice="make room there and try again")
    return HandoffError(text or f"{peer} could not go on ({reason.value})", state=state, advice="try again")
