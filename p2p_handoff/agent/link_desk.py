# SPDX-License-Identifier: Apache-2.0
"""What linking needs of an agent. Layer: agent. Specification: docs/specs/link.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from p2p_handoff.agent.relays import Relays
from p2p_handoff.ids import DeviceId, Entropy, RoomId
from p2p_handoff.security.identity import Identity


@dataclass(frozen=True, slots=True)
class LinkDesk:
    """What linking needs of the agent.

    Args:
        name: This device's display name.
        room_urls: Relay URLs at which discovery sees an open room with a nameplate.
        look: Asks everybody on the network anew what they announce.
        manual: Relay URLs given by hand.
        announce: Tells the network about the open room, or None when it is closed.
        clock: Monotonic seconds.
        ended: How many admissions of a device to the circle have ended.
        tried: Called with a sentence when a try is over and somebody may have been trying to get in.
        disturbed: Called with a sentence when somebody else came, and the try goes on.
    """

    identity: Identity
    name: Callable[[], str]
    relays: Relays
    room_urls: Callable[[int], Sequence[str]]
    look: Callable[[], None]
    manual: Sequence[str]
    announce: Callable[[tuple[RoomId, int] | None], Awaitable[None]]
    entropy: Entropy
    clock: Callable[[], float]
    ended: Callable[[DeviceId], int]
    tried: Callable[[str], None]
    disturbed: Callable[[str], None]
