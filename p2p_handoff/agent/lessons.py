# SPDX-License-Identifier: Apache-2.0
"""Handoffs whose Init tells this device that it is not the primary any more: held back until that is durable.

Layer: agent. Specification: docs/specs/handoff-v2.md §3 (Init), docs/specs/ownership.md §3 rule 8. A new primary may
hand the session back before its old one has learned that it was accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from p2p_handoff.agent.learning import Learner
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, RejectedError, UnreachableError
from p2p_handoff.ids import SessionId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.ownership import Role

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rest:
    """Whom the rest of a handoff that is held back goes to.

    Args:
        again: Takes the messages that were held back, in order, the Init first.
        turn_away: Answers an Init that stays without effect.
        spawn: Runs a task until the agent stops.
    """

    again: Callable[[Wire, msg.Message], None]
    turn_away: Callable[[Wire, msg.Init, HandoffError], None]
    spawn: Callable[[Coroutine[Any, Any, None], str], None]


@dataclass(slots=True)
class _Held:
    wire: Wire
    init: msg.Init
    messages: dict[type[msg.Message], msg.Message] = field(default_factory=dict)
    """The last one of each kind: a source that has no answer yet repeats itself at most."""


class Lessons:
    """The handoffs of one agent that are held back.

    Args:
        services: The agent's parts.
        learner: Stores what a chain proves.
        rest: Who goes on.
    """

    def __init__(self, services: Services, learner: Learner, rest: Rest) -> None:
        self._services = services
        self._learner = learner
        self._rest = rest
        self._held: dict[TxnId, _Held] = {}

    def begin(self, wire: Wire, init: msg.Init, chain: Chain) -> None:
        """Learn a chain, and hold back the handoff that brought it; a repeated Init changes the wire at most."""
        known = self._held.get(init.txn)
        if known is not None and known.wire is wire:
            return
        self._held[init.txn] = _Held(wire, init)
        if known is None:
            self._rest.spawn(self._learn(init.txn, init.session, chain), f"learn {init.txn[:6]}")

    def hold(self, wire: Wire, txn: TxnId, message: msg.Message) -> bool:
        """Hold a message back, if its handoff is."""
        held = self._held.get(txn)
        if held is None or held.wire is not wire:
            return False
        held.messages[type(message)] = message
        return True

    async def _learn(self, txn: TxnId, session: SessionId, chain: Chain) -> None:
        failure: HandoffError | None = None
        try:
            await self._store(session, chain)
        except HandoffError as error:
            log.warning("handoff %s: its chain is not stored: %s", txn[:6], error)
            failure = error
        except Exception as error:
            log.exception("handoff %s: its chain is not stored", txn[:6])
            failure = HandoffError(f"an unexpected error ({type(error).__name__})")
        held = self._held.pop(txn)
        if not held.wire.is_open:
            return  # The source begins again on the next one.
        with contextlib.suppress(UnreachableError):  # It closes at this moment.
            if failure is not None:
                self._rest.turn_away(held.wire, held.init, failure)
                return
            for message in (held.init, *held.messages.values()):
                self._rest.again(held.wire, message)

    async def _store(self, session: SessionId, chain: Chain) -> None:
        store = self._services.store.ownership
        held = await asyncio.to_thread(store.held_of, session)
        outgoing = None if held is None else await self._learner.learn(held, chain)
        if outgoing is not None:
            await outgoing.answered.wait()
        held = await asyncio.to_thread(store.held_of, session)
        if held is not None and held.ownership.role is not Role.SECONDARY:
            raise RejectedError("that device has not stored its own handoff yet", reason=RejectReason.BUSY.value)
