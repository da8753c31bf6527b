# SPDX-License-Identifier: Apache-2.0
"""What waits to be written to one client, bounded in bytes. Layer: signaling, asyncio.

Specification: docs/specs/signaling.md §8.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from p2p_handoff.limits import RELAY_OUTBOX_BYTES, RELAY_OUTBOX_HARD_BYTES

_PER_FRAME: Final = 64
"""Bytes that a queued frame costs beside its content, so that many tiny ones count as well."""


class Outbox:
    """A queue of encoded messages, for one writer."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._ended = False

    @property
    def is_ended(self) -> bool:
        """Whether it takes nothing more."""
        return self._ended

    @property
    def is_congested(self) -> bool:
        """Whether others should stop sending to this client for now."""
        return self._bytes > RELAY_OUTBOX_BYTES

    def put(self, frame: bytes) -> bool:
        """Queue a frame; False if the queue is over its hard bound, or has ended."""
        if self._ended or self._bytes + len(frame) + _PER_FRAME > RELAY_OUTBOX_HARD_BYTES:
            return False
        self._frames.append(frame)
        self._bytes += len(frame) + _PER_FRAME
        self._ready.set()
        return True

    def end(self) -> None:
        """Take nothing more; ``get`` returns None after the last frame."""
        self._ended = True
        self._ready.set()

    async def get(self) -> bytes | None:
        """The next frame, or None at the end."""
        while not self._frames:
            if self._ended:
                return None
            self._ready.clear()
            await self._ready.wait()
        frame = self._frames.popleft()
        self._bytes -= len(frame) + _PER_FRAME
        return frame
