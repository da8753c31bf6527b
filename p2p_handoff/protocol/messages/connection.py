# SPDX-License-Identifier: Apache-2.0
"""Messages of the connection itself: greeting, sign of life, flow control, farewell. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from p2p_handoff.protocol.messages.fields import Nonce, Sentence, Title, Within, Word
from p2p_handoff.security.versions import MAX_VERSIONS
from p2p_handoff.session.statements import NONCE_BYTES


@dataclass(frozen=True, slots=True)
class Hello:
    """First message each way after the proof."""

    versions: Annotated[tuple[int, ...], Within(0, MAX_VERSIONS)]
    """Protocol versions this side speaks."""
    name: Title
    """Display name, for people only."""
    software: Title
    """Program and version, for people only."""
    capabilities: Annotated[tuple[Word, ...], Within(0, 64)]
    """Optional things the sender can do; none is defined yet."""
    counter: int
    """The sender's store counter: a lower one than seen before means a rolled-back home."""
    seen: int
    """The highest store counter that the sender ever saw of the receiver, 0 for none."""
    instance: Nonce = bytes(NONCE_BYTES)
    """Drawn at each start of the sender: another one means that all it was connected by before is gone."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Sent every PING_INTERVAL."""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to a ping."""

    number: int


@dataclass(frozen=True, slots=True)
class Credit:
    """How many bulk bytes the receiver of content takes in all, counted from the start of the connection."""

    total: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sender closes the connection on purpose."""

    reason: Sentence
