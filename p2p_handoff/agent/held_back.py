# SPDX-License-Identifier: Apache-2.0
"""Handoffs that begin, and wait until something about their Init is known: its messages are kept, and come again.

Layer: agent. Specification: docs/specs/handoff-v2.md §3 (Init). A long chain is verified first (long_chains.py),
and one that ends this device's own ownership is stored first (lessons.py).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeGuard

from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, UnreachableError
from p2p_handoff.ids import DeviceId, TxnId
from p2p_handoff.protocol import messages as msg

log = logging.getLogger(__name__)

_LISTED: Final = 128
"""Bytes of an element of a list in a message: a digest, or a part's id."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Whom the rest of a handoff that is held back goes to.

    Args:
        again: Takes the messages that were held back, in order, the Init first.
        turn_away: Answers an Init that stays without effect.
        spawn: Runs a task until the agent stops.
        room: Raises a RejectedError where a device's messages of that weight cannot be kept.
    """

    again: Callable[[Wire, msg.Message], None]
    turn_away: Callable[[Wire, msg.Init, HandoffError], None]
    spawn: Callable[[Coroutine[Any, Any, None], str], None]
    room: Callable[[DeviceId, int], None]


@dataclass(slots=True)
class _Held:
    wire: Wire
    init: msg.Init
    messages: dict[type[msg.Message], msg.Message] = field(default_factory=dict)
    """The last one of each kind: a source that has no answer yet repeats itself at most."""
    weight: int = 0
    """Of the messages and of what the Init says of a fork, in bytes."""
    refusal: HandoffError | None = None
    """Why nothing of it is kept any more."""


class HeldBack:
    """The handoffs of one agent that are held back.

    Args:
        rest: Who goes on.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._held: dict[TxnId, _Held] = {}

    def begin(self, wire: Wire, init: msg.Init, work: Callable[[], Awaitable[None]]) -> None:
        """Do something, and hold back the handoff meanwhile; a repeated Init changes the wire at most.

        Args:
            wire: Where it came from.
            init: How it began.
            work: What comes first; what it raises turns the Init away.
        """
        known = self._held.get(init.txn)
        if known is not None and known.wire is wire:
            return
        self._held[init.txn] = _Held(wire, init, weight=len(init.parent))
        if known is None:
            self._rest.spawn(self._do(init.txn, work), f"before {init.txn[:6]}")

    def hold(self, wire: Wire, txn: TxnId, message: msg.Message) -> bool:
        """Hold a message back, if its handoff is."""
        held = self._held.get(txn)
        if held is None or held.wire is not wire:
            return False
        if held.refusal is None:
            self._keep(held, message)
        return True

    def _keep(self, held: _Held, message: msg.Message) -> None:
        before = held.messages.pop(type(message), None)
        held.weight -= 0 if before is None else _weight(before)
        try:
            self._rest.room(held.wire.peer, _weight(message))
        except HandoffError as refusal:
            held.refusal, held.weight = refusal, 0
            held.init = replace(held.init, parent=b"")
            held.messages.clear()
            return
        held.messages[type(message)] = message
        held.weight += _weight(message)

    def holds(self, txn: TxnId) -> bool:
        """Whether a handoff is held back, on whichever connection."""
        return txn in self._held

    def of(self, peer: DeviceId) -> tuple[msg.Init, ...]:
        """What a device has begun and is held back."""
        return tuple(held.init for held in self._held.values() if held.wire.peer == peer)

    def weight(self, peer: DeviceId | None = None) -> int:
        """Bytes that are kept beside the chains, of one device or of all."""
        return sum(held.weight for held in self._held.values() if peer in (None, held.wire.peer))

    async def _do(self, txn: TxnId, work: Callable[[], Awaitable[None]]) -> None:
        failure: HandoffError | None = None
        try:
            await work()
        except HandoffError as error:
            log.warning("handoff %s does not begin: %s", txn[:6], error)
            failure = error
        except Exception as error:
            log.exception("handoff %s does not begin", txn[:6])
            failure = HandoffError(f"an unexpected error ({type(error).__name__})")
        held = self._held.pop(txn)
        failure = failure or held.refusal
        if not held.wire.is_open:
            return  # The source begins again on the next one.
        with contextlib.suppress(UnreachableError):  # It closes at this moment.
            if failure is not None:
                self._rest.turn_away(held.wire, held.init, failure)
                return
            for message in (held.init, *held.messages.values()):
                self._rest.again(held.wire, message)


def _weight(message: msg.Message) -> int:
    """What a message takes, roughly: its bytes, and what it lists."""
    values = (getattr(message, field.name) for field in fields(message))
    return sum(len(value) * (1 if isinstance(value, bytes) else _LISTED) for value in values if _is_long(value))


def _is_long(value: object) -> TypeGuard[bytes | tuple[Any, ...]]:
    return isinstance(value, bytes | tuple)
