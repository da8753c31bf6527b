# SPDX-License-Identifier: Apache-2.0
"""Ownership chains that take long to verify: in a thread, one after the other, while their handoff is held back.

Layer: agent. Specification: docs/specs/ownership.md §6. A chain of 10,000 handoffs is 20,001 signatures, some seconds
of work; the event loop has other connections to serve.
"""

from __future__ import annotations

import asyncio

from p2p_handoff.agent.held_back import HeldBack
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import in_thread
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Proven


class LongChains:
    """The long chains of one agent.

    Args:
        services: The agent's parts.
        held_back: Keeps the handoffs meanwhile.
    """

    def __init__(self, services: Services, held_back: HeldBack) -> None:
        self._services = services
        self._held_back = held_back
        self._turn = asyncio.Lock()
        self._last: tuple[bytes, Proven] | None = None
        """Taken by the Init that comes again in the same step; one that never does leaves no more than this one."""

    def begin(self, wire: Wire, init: msg.Init) -> None:
        """Verify the chain of an Init, which then comes again. Next, at that time: ``taken``."""
        self._held_back.begin(wire, init, lambda: self._prove(init))

    def taken(self, init: msg.Init) -> Proven | None:
        """What was verified for this Init a moment ago; None where that was another chain."""
        if self._last is None or self._last[0] != init.chain:
            return None
        proven, self._last = self._last[1], None
        return proven

    async def _prove(self, init: msg.Init) -> None:
        async with self._turn:
            self._last = init.chain, await in_thread(self._verify, init)

    def _verify(self, init: msg.Init) -> Proven:
        """Blocks. What is here is verified first: only what is new in the other chain costs anything then."""
        held_of = self._services.store.ownership.held_of
        held = held_of(init.session)
        proven = chains.prove(chains.decode_chain(init.chain), None if held is None else held.proven)
        if proven.state.parent is not None:
            held_of(proven.state.parent.session)  # For a merge: at hand when it is judged.
        return proven
