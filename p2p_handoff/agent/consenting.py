# SPDX-License-Identifier: Apache-2.0
"""A person says yes to a request and waits for the end of the handoff that follows. Layer: agent.

Specification: docs/specs/handoff-v2.md §5.
"""

from __future__ import annotations

import asyncio

from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.giving_up import end_of
from p2p_handoff.agent.handoffs import Handoffs
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import Consent, IncomingRequest, RequestBook, Wish
from p2p_handoff.errors import NotFoundError, UsageError


class Consenting:
    """Accepts the requests of one agent.

    Args:
        requests: Those that wait.
        handoffs: What a yes sets going.
        catalog: Knows what is here already.
    """

    def __init__(self, requests: RequestBook, handoffs: Handoffs, catalog: Catalog) -> None:
        self._requests = requests
        self._handoffs = handoffs
        self._catalog = catalog

    async def carry_out(self, token: str | None, consent: Consent) -> Report:
        """Say yes and wait for the end of the handoff.

        Raises:
            NotFoundError, AmbiguousError: Which request is not clear.
            UsageError: The directory does not fit the request.
            GivenUpError: The caller was cancelled; its report tells what became of the handoff.
        """
        request = self._requests.find(token)
        if request.wish is Wish.TAKE:
            return await self._let_take(request, consent)
        self._catalog.check_into(request.session, consent.into)
        incoming = self._handoffs.incoming(request.txn)
        self._requests.answer(request.token, consent)
        if incoming is None:
            raise NotFoundError("the request is over")
        return await end_of(incoming, incoming.report)

    async def _let_take(self, request: IncomingRequest, consent: Consent) -> Report:
        if consent.into is not None:
            raise UsageError("this request is to take a session away", advice="leave --into away")
        beginning = asyncio.ensure_future(self._handoffs.taken(request.txn))
        await asyncio.sleep(0)  # It waits for the answer before that is given.
        self._requests.answer(request.token, consent)
        outgoing = await beginning
        return await end_of(outgoing, outgoing.settled)
