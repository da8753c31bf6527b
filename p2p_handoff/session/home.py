# SPDX-License-Identifier: Apache-2.0
"""Whether a home is an old copy of itself: its counter, and what peers saw of it. Layer: session.

Specification: docs/specs/ownership.md §7. Every change of ownership state counts one. Peers remember the highest value
that a device showed, and tell it; a value below that means that the home is an old copy. Until its state is confirmed
it takes part in no handoff: it may only learn.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from p2p_handoff.errors import TrustError
from p2p_handoff.ids import DeviceId


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a home is."""

    counter: int = 0
    """What it shows in every handshake."""
    floor: int = 0
    """The least that it must show: more than that was seen of it, or its statements were."""

    @property
    def rolled_back(self) -> bool:
        """Whether the home is an old copy that is not confirmed yet."""
        return self.counter < self.floor


def advance(mark: Mark) -> Mark:
    """One change of ownership state: belongs into its transaction.

    What a rolled-back home learns does not count towards what it has forgotten: it stays rolled back.
    """
    return Mark(mark.counter + 1, mark.floor + (1 if mark.rolled_back else 0))


def witnessed(mark: Mark, highest_seen: int) -> Mark:
    """A linked peer told the highest value that it saw of this device."""
    return replace(mark, floor=max(mark.floor, highest_seen))


def forgotten(mark: Mark) -> Mark:
    """A chain showed a statement of this device that this home does not know."""
    return replace(mark, floor=max(mark.floor, mark.counter + 1))


def confirmed(mark: Mark) -> Mark:
    """What all peers know is durable here: go on, above everything that anybody saw."""
    return replace(mark, counter=max(mark.counter, mark.floor) + 1)


def awaited(mark: Mark, linked: Iterable[DeviceId], heard: AbstractSet[DeviceId]) -> tuple[DeviceId, ...]:
    """The linked devices that have still to be heard before the home is confirmed; none where it need not be.

    Args:
        mark: The home's.
        linked: All linked devices.
        heard: Those that have told all that they know since the agent started, and it is durable here.
    """
    return tuple(device for device in linked if device not in heard) if mark.rolled_back else ()


def check(mark: Mark) -> None:
    """Refuse to go on in a home that was rolled back.

    Raises:
        TrustError: It was.
    """
    if mark.rolled_back:
        raise TrustError(
            f"this data directory is an old copy (its counter is {mark.counter}, a peer saw {mark.floor})",
            state="no session changes hands until the state is confirmed",
            advice="let the linked devices come online, or restore the newest copy",
        )
