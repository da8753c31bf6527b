# SPDX-License-Identifier: Apache-2.0
"""Messages by which a device asks for a session that another one owns. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.limits import MAX_PARTS
from p2p_handoff.protocol.messages.fields import Seconds, Title, Within, Word


@dataclass(frozen=True, slots=True)
class Take:
    """Ask the primary to hand a session over to the sender."""

    txn: TxnId
    """The txn the source must use."""
    session: SessionId
    types: Annotated[tuple[Word, ...], Within(0, MAX_PARTS)]
    """Part types wanted; empty means all."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Answer to a Take where a person is asked first; Init or Reject follows."""

    txn: TxnId
    expires_in: Seconds
    """Seconds until the person's time is over."""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of a session list."""

    session: SessionId
    title: Title
    role: Word
    epoch: int
    primary: DeviceId


@dataclass(frozen=True, slots=True)
class ListSessions:
    """Ask which sessions the peer would let this device take or follow."""

    number: int


@dataclass(frozen=True, slots=True)
class SessionList:
    """Answer to ``ListSessions`` with the same number."""

    number: int
    sessions: tuple[SessionSummary, ...]
