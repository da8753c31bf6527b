# SPDX-License-Identifier: Apache-2.0
"""Takes that this device asks other devices for, until the handoff that follows has begun. Layer: agent.

Specification: docs/specs/handoff-v2.md §3 (Take, Asking). A take that nobody waits for any more is called off, so that
it moves no session later. The other device's side is agent.take_answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.push_refusals import old_there
from p2p_handoff.agent.reaching import first_wire
from p2p_handoff.agent.requests import Consent
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.under_way import UnderWay
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, RejectedError, TimedOutError, UnreachableError
from p2p_handoff.ids import DeviceId, SessionId, TxnId, new_txn_id
from p2p_handoff.limits import OFFER_LIFETIME
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import RejectReason

ANSWER_TAKE_FOR: Final = 20.0
"""Seconds for the answer to a take: a dead connection is found after three, and the next one needs some more."""


@dataclass(frozen=True, slots=True)
class TakeAsk:
    """A take that this device asked for."""

    session: SessionId
    peer: DeviceId
    types: frozenset[str]
    into: Path | None
    begun: asyncio.Future[Incoming]
    patience: asyncio.Timeout
    """How long the answer may take; longer where a person is asked."""

    @property
    def consent(self) -> Consent:
        """What was asked for is agreed to."""
        return Consent(self.types, self.into)


class Takes:
    """The takes of one agent.

    Args:
        services: The agent's parts.
        under_way: Its handoffs.
    """

    def __init__(self, services: Services, under_way: UnderWay) -> None:
        self.called_off: set[TxnId] = set()
        """Takes that were given up before the other device began."""
        self._services = services
        self._under_way = under_way
        self._asked: dict[TxnId, TakeAsk] = {}

    @property
    def any_open(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._asked)

    async def take(self, peer: DeviceId, session: SessionId, types: frozenset[str], into: Path | None) -> Incoming:
        """Ask a device to hand a session over to this one.

        Returns:
            The handoff that follows, once it has begun.

        Raises:
            RejectedError: The device says no.
            TrustError: The other home is an old copy.
            UnreachableError, TimedOutError: It does not answer.
        """
        wire, txn = await self._reach(peer, session)
        patience = asyncio.timeout(ANSWER_TAKE_FOR)
        ask = TakeAsk(session, peer, types, into, asyncio.get_running_loop().create_future(), patience)
        try:
            async with patience:
                while (begun := await self._begun(wire, ask, txn)) is None:
                    wire, txn = await self._reach(peer, session)
                self._call_off(wire, ask, but=begun.txn)
                return begun
        except asyncio.CancelledError:
            self._call_off(wire, ask)
            raise
        except TimeoutError:
            self._call_off(wire, ask)
            name = self._services.peer_name(peer)
            raise TimedOutError(
                f"{name} did not answer", state="the session is unchanged", advice="try again"
            ) from None
        finally:
            for txn in self._txns_of(ask):
                del self._asked[txn]
            if not ask.begun.cancel():
                ask.begun.exception()  # An answer in the moment of giving up has been seen, and is nobody's error.

    async def _reach(self, peer: DeviceId, session: SessionId) -> tuple[Wire, TxnId]:
        """A wire, as a push finds its first one, and what is asked for over it."""
        txn = new_txn_id(self._services.entropy)
        return await first_wire(self._services, peer, txn, session), txn

    async def _begun(self, wire: Wire, ask: TakeAsk, txn: TxnId) -> Incoming | None:
        """Ask over one wire; None when it broke before the answer, with which the question may be lost as well.

        Whichever of its txns the other device answers, the handoff is what was asked for.
        """
        if self._services.is_old(ask.peer):
            raise old_there(self._services.peer_name(ask.peer))
        under_way = self._under_way.incoming_from(ask.peer, ask.session)
        if under_way is not None:
            return under_way  # The other device was faster: its push is what is asked for.
        self._asked[txn] = ask
        with contextlib.suppress(UnreachableError):
            wire.send(msg.Take(txn, ask.session, tuple(sorted(ask.types))))
        return ask.begun.result() if await wire.carries(ask.begun) else None

    def _txns_of(self, ask: TakeAsk) -> list[TxnId]:
        return [txn for txn, known in self._asked.items() if known is ask]

    def _call_off(self, wire: Wire, ask: TakeAsk, but: TxnId | None = None) -> None:
        """A take that nobody waits for, or that another handoff satisfies, must not move a session later."""
        for txn in self._txns_of(ask):
            if txn == but:
                continue
            self.called_off.add(txn)
            with contextlib.suppress(HandoffError):
                wire.send(msg.Cancel(txn, RejectReason.CANCELLED, "the take was given up"))

    # --- what the other device says -----------------------------------------------------------------

    def answered_by(self, init: msg.Init) -> TakeAsk | None:
        """The take that a handoff answers: the one of its txn, or one that crossed a push of the same session."""
        asks = (self._asked.get(init.txn), *self._asked.values())
        return next(
            (ask for ask in asks if ask is not None and (ask.session, ask.peer) == (init.session, init.source)), None
        )

    def failed(self, init: msg.Init, error: HandoffError) -> None:
        """What this device asked for cannot be taken: its user hears why."""
        ask = self.answered_by(init)
        if ask is not None and not ask.begun.done():
            ask.begun.set_exception(error)

    def rejected(self, wire: Wire, message: msg.Reject) -> None:
        """The other device says no."""
        ask = self._asked.get(message.txn)
        if ask is None or ask.peer != wire.peer or ask.begun.done():
            return
        why = message.text or message.reason.value
        ask.begun.set_exception(
            RejectedError(
                f"{self._services.peer_name(ask.peer)} said no: {why}",
                reason=message.reason.value,
                state="the session stays where it is",
            )
        )

    def person_asked(self, wire: Wire, message: msg.Asking) -> None:
        """The other device asks its person about this one's take."""
        ask = self._asked.get(message.txn)
        if ask is None or ask.peer != wire.peer or ask.begun.done():
            return
        seconds = min(message.expires_in, OFFER_LIFETIME) + ANSWER_TAKE_FOR
        ask.patience.reschedule(asyncio.get_running_loop().time() + seconds)
        self._services.events.emit(
            "asking", txn=message.txn, session=ask.session, name=self._services.peer_name(ask.peer)
        )
