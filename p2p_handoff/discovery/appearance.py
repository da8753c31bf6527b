# SPDX-License-Identifier: Apache-2.0
"""Under which name this device appears now, and until when. Layer: I/O ring, no I/O itself.

A device that only linked devices shall recognise takes a new name at every start, on every network, when its links
change and from time to time. Specification: docs/specs/discovery.md §6.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from p2p_handoff.discovery.announcement import Advertisement, Announcement, Audience, advertise
from p2p_handoff.discovery.veil import Acquaintances, Veil, draw
from p2p_handoff.ids import Entropy

ROTATION: Final = 900.0
"""Seconds for which a name is kept at least; up to a third more, so that no two devices change in step for long."""
_JITTER: Final = 1 / 3
_REMEMBERED: Final = 8
"""Own names whose echo may still come: each is gone seconds after the next one."""


class Appearance:
    """What one device shows of itself.

    Args:
        entropy: Makes labels, padding and jitter.
        rotation: Seconds for which a random name is kept at least.
    """

    def __init__(self, entropy: Entropy, rotation: float = ROTATION) -> None:
        self._entropy = entropy
        self._rotation = rotation
        self._veil: Veil | None = None
        self._until = 0.0
        self._own: deque[str] = deque(maxlen=_REMEMBERED)

    def advertisement(self, announcement: Announcement, known: Acquaintances, now: float) -> Advertisement:
        """What to send.

        Args:
            announcement: What this device says.
            known: Who shall recognise it.
            now: Monotonic seconds.
        """
        if announcement.audience is Audience.EVERYONE:
            self._veil = None
        elif self._veil is None:
            self._veil = draw(known, self._entropy)
            share = int.from_bytes(self._entropy(2)) / 0xFFFF
            self._until = now + self._rotation * (1 + _JITTER * share)
        made = advertise(announcement, self._veil)
        if made.label not in self._own:
            self._own.append(made.label)
        return made

    def change(self) -> None:
        """Take another random name with the next advertisement."""
        self._veil = None

    def is_due(self, now: float) -> bool:
        """Whether a random name is in use and its time is over."""
        return self._veil is not None and now >= self._until

    def is_own(self, label: str) -> bool:
        """Whether a label is, or was a moment ago, this device's own."""
        return label in self._own
