# SPDX-License-Identifier: Apache-2.0
"""After a stop or a crash in the middle of an arrival: call on whoever may be waiting for an answer. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. What was undecided is forgotten by design, so that this device does not know
which source is frozen for its sake; it only knows that something was staged, and whom it had met by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from p2p_handoff.agent.seeking import always
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.stagings import KEEP_STAGED
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId

CALL_FOR: Final = 60.0
"""Seconds to look for each: a source that has gone by then dials when it is back."""


def to_call(services: Services) -> tuple[DeviceId, ...]:
    """The linked devices that may wait: met within the last hour, if anything was staged or waits for its place.

    Raises:
        StorageError: The store cannot be read.
    """
    if not services.stagings.any() and not services.store.incoming.pending_commits():
        return ()
    since = services.clock() - KEEP_STAGED
    return tuple(link.device for link in services.store.links.all() if (link.last_seen or 0.0) >= since)


async def call(services: Services, device: DeviceId) -> None:
    """Connect to a device; what it waits for it asks on the connection."""
    with contextlib.suppress(HandoffError, TimeoutError):
        async with asyncio.timeout(CALL_FOR):
            await services.seek(device, always)
