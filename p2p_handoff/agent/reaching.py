# SPDX-License-Identifier: Apache-2.0
"""The first connection of a handoff: tried often enough for a bad network, and not for ever. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. A device may be seen and be silent: suspended, behind a filter, or gone
without a goodbye. Whoever waits hears so within seconds, and has the last word soon after.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from p2p_handoff.agent.dialer import LOOK_THERE
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import UnreachableError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.limits import PEER_DEAD_AFTER

FIRST_CONNECT_FOR: Final = 6.0
"""Seconds to look for a device before anything was offered."""
FIRST_ATTEMPTS: Final = 3
"""Attempts at least: where packets are lost in bursts, one whole attempt of 5 s may be lost with them."""
FIRST_CONNECT_WITHIN: Final = 16.0
"""Seconds after which even these are given up: room for three that each reach no relay, and for the pauses."""
TELL_AFTER: Final = PEER_DEAD_AFTER
"""Seconds until a person hears that the device does not answer: as long as on an open connection."""


async def first_wire(
    services: Services, target: DeviceId, txn: TxnId | None = None, session: SessionId | None = None
) -> Wire:
    """Dial until it works: discovery may need a moment, and so may a peer that just woke up.

    Args:
        services: The agent's parts.
        target: Whom to reach.
        txn: The handoff, for the event ``silent``; None while nothing but a list is asked for.
        session: The session, for the same, where who asks knows no more than that.

    Raises:
        UnreachableError: It cannot be reached, or is silent for too long.
        TrustError, VersionError: It can, and is not to be dealt with.
    """
    why: UnreachableError | None = None
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with _told(services, target, txn=txn, session=session), asyncio.timeout(FIRST_CONNECT_WITHIN):
            for attempt, delay in enumerate(delays(services.entropy), start=1):
                try:
                    return await services.connect(target)
                except UnreachableError as error:
                    why = error
                if loop.time() + delay > began + FIRST_CONNECT_FOR and attempt >= FIRST_ATTEMPTS:
                    raise why
                await services.sighted(target, delay)
    except TimeoutError:
        name = services.peer_name(target)
        raise why or UnreachableError(f"{name} cannot be reached (it does not answer)", advice=LOOK_THERE) from None
    raise AssertionError


@asynccontextmanager
async def _told(services: Services, target: DeviceId, **about: str | None) -> AsyncIterator[None]:
    """Tell the person who waits when the device is silent for a while."""
    timer = asyncio.get_running_loop().call_later(TELL_AFTER, _tell, services, target, about)
    try:
        yield
    finally:
        timer.cancel()


def _tell(services: Services, target: DeviceId, about: Mapping[str, str | None]) -> None:
    name = services.peer_name(target)
    rest = FIRST_CONNECT_WITHIN - TELL_AFTER
    text = f"{name} does not answer; it is tried for {rest:g} seconds more at the most"
    services.events.emit("silent", **about, device=target, name=name, text=text)
