# SPDX-License-Identifier: Apache-2.0
"""Links of one agent: made by a code, remembered, taken back. Layer: agent. Specification: docs/specs/link.md §6."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from p2p_handoff.agent import linking
from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.handoffs import Handoffs
from p2p_handoff.agent.services import Services
from p2p_handoff.errors import UsageError
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.security.link_terms import LinkOutcome, Purpose
from p2p_handoff.security.words import LinkCode
from p2p_handoff.session.paths import printable
from p2p_handoff.store.records import LinkedDevice


class Links:
    """Makes and ends links.

    Args:
        services: The agent's parts.
        desk: What an exchange works with.
        dialer: Hangs up on a device that is unlinked.
        handoffs: End with the link.
    """

    def __init__(self, services: Services, desk: linking.LinkDesk, dialer: Dialer, handoffs: Handoffs) -> None:
        self._store = services.store
        self._events = services.events
        self._clock = services.clock
        self._desk = desk
        self._dialer = dialer
        self._handoffs = handoffs
        self._open = asyncio.Lock()

    async def join(self, code: str, decide: linking.Decide, purpose: Purpose) -> LinkOutcome:
        """Link with the device that shows a code.

        Raises:
            LinkCodeError, NotFoundError, RejectedError, UnreachableError: As ``linking.join_code``.
        """
        outcome = await linking.join_code(self._desk, purpose, LinkCode.parse(code), decide)
        self._remember(outcome)
        return outcome

    async def open(
        self, on_code: Callable[[str], Awaitable[None]] | None, decide: linking.Decide, purpose: Purpose
    ) -> LinkOutcome:
        """Make a code, and link with whoever knows it.

        Raises:
            UsageError: A code is open already.
            LinkCodeError, RejectedError, UnreachableError: As ``linking.open_code``.
        """
        if self._open.locked():
            raise UsageError("a link code is open already on this device", advice="use it, or cancel it first")
        async with self._open:
            outcome = await linking.open_code(self._desk, purpose, lambda fresh: _shown(on_code, fresh), decide)
        self._remember(outcome)
        return outcome

    async def remove(self, link: LinkedDevice) -> None:
        """Trust a device no longer: at once, on open connections too."""
        self._store.links.remove(link.device, at=self._clock())
        await self._dialer.hang_up(link.device, "unlinked")
        self._handoffs.unlinked(link.device)
        self._events.emit("unlinked", device=link.device, name=link.name)

    def _remember(self, outcome: LinkOutcome) -> None:
        now = self._clock()
        name = printable(outcome.peer_name, MAX_TITLE) or outcome.peer.device[:8]
        link = LinkedDevice(outcome.peer.device, outcome.peer.to_bytes(), name, outcome.kind, now, now)
        if self._store.links.get(link.device) is None and self._store.links.is_revoked(link.device):
            self._store.links.readmit(link)
        else:
            self._store.links.add(link)
        self._events.emit("linked", device=link.device, name=link.name, kind=outcome.kind.value)


async def _shown(on_code: Callable[[str], Awaitable[None]] | None, code: LinkCode) -> None:
    if on_code is not None:
        await on_code(code.text)
