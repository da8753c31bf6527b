# SPDX-License-Identifier: Apache-2.0
"""Messages by which own devices tell each other of own devices. Layer: protocol, pure.

Specification: docs/specs/circle.md, docs/specs/handoff-v2.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import MAX_CIRCLE_BATCH, MAX_CIRCLE_STATEMENTS
from p2p_handoff.protocol.messages.fields import CircleStatement, ObjectDigest, Within


@dataclass(frozen=True, slots=True)
class Hint:
    """Where an own device was reached lately; who answers there is decided by keys."""

    device: DeviceId
    url: Annotated[str, Within(1, 256)]
    """Of a relay, as in ``p2p_handoff.rendezvous``."""


@dataclass(frozen=True, slots=True)
class CircleList:
    """The statements about own devices that the sender holds, between own devices only: once, after the Hello."""

    digests: Annotated[tuple[ObjectDigest, ...], Within(0, MAX_CIRCLE_STATEMENTS)]


@dataclass(frozen=True, slots=True)
class CircleNews:
    """Statements about own devices that the receiver has not, in an order in which each can be checked."""

    statements: Annotated[tuple[CircleStatement, ...], Within(0, MAX_CIRCLE_BATCH)]
    hints: Annotated[tuple[Hint, ...], Within(0, MAX_CIRCLE_BATCH)]
