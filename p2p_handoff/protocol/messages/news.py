# SPDX-License-Identifier: Apache-2.0
"""Messages by which devices tell each other who owns which session. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3. What is told, asked and concluded: ``protocol.news``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.limits import MAX_OWNERS
from p2p_handoff.protocol.messages.fields import ObjectDigest, Title, Within


@dataclass(frozen=True, slots=True)
class KnownOwner:
    """How far the sender knows one session's ownership."""

    session: SessionId
    epoch: int
    primary: DeviceId
    """The owner of that epoch."""
    head: ObjectDigest
    """Link digest of the chain's last statement."""


@dataclass(frozen=True, slots=True)
class News:
    """What the sender knows of sessions that concern the receiver: all of it once, after the Hello; then changes."""

    counter: int
    """The sender's store counter now."""
    owners: Annotated[tuple[KnownOwner, ...], Within(0, MAX_OWNERS)]
    more: bool
    """True when the list goes on in another message."""


@dataclass(frozen=True, slots=True)
class AskChain:
    """The receiver's chain of a session is wanted; one is asked for at a time."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class ChainNews:
    """Answer to ``AskChain``."""

    session: SessionId
    title: Title
    """For people, and only where the session is unknown to the receiver."""
    chain: bytes
    """The ownership chain, encoded; empty when there is none for the receiver."""
