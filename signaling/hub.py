# SPDX-License-Identifier: Apache-2.0
"""Gives the switchboard a clock and its outputs a way out. Layer: signaling, asyncio.

Specification: docs/specs/signaling.md §4.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from p2p_handoff.ids import DeviceId
from signaling.messages import Deliver, Farewell, FromRelay, Goodbye, Refused, Request, RoomMessage
from signaling.rooms import ClientKey
from signaling.switchboard import Output, Switchboard


class Outlet(Protocol):
    """Where messages for one client go. Called on the event loop; must return at once and never raise."""

    def deliver(self, message: FromRelay) -> None:
        """One message; after a Goodbye comes no other."""


class Hub:
    """All connected clients of one relay, whatever they are connected by.

    Args:
        switchboard: Decides what goes to whom.
    """

    def __init__(self, switchboard: Switchboard) -> None:
        self.switchboard = switchboard
        self.counters: Counter[str] = Counter()
        self._keys = itertools.count(1)
        self._outlets: dict[ClientKey, Outlet] = {}
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, outlet: Outlet, device: DeviceId, address: str) -> ClientKey:
        """A device logged in; call ``leave`` when its connection is over."""
        client = ClientKey(next(self._keys))
        self._outlets[client] = outlet
        self._dispatch(self.switchboard.connect(client, device, address, self._now()))
        return client

    def handle(self, client: ClientKey, request: Request) -> None:
        """Carry out one request."""
        self._dispatch(self.switchboard.handle(client, request, self._now()))

    def leave(self, client: ClientKey) -> None:
        """A connection is over. Idempotent."""
        self._outlets.pop(client, None)
        self._dispatch(self.switchboard.disconnect(client, self._now()))

    def close(self) -> None:
        """Say goodbye to everyone."""
        for client in list(self._outlets):
            self._dispatch([Output(client, Goodbye(Farewell.SHUTDOWN))])
            self.leave(client)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _dispatch(self, outputs: Iterable[Output]) -> None:
        for client, message in outputs:
            self._count(message)
            outlet = self._outlets.get(client)
            if isinstance(message, Goodbye):
                self._outlets.pop(client, None)
            if outlet is not None:
                outlet.deliver(message)
        self._schedule()

    def _count(self, message: FromRelay) -> None:
        if isinstance(message, Deliver):
            self.counters["envelopes"] += 1
        elif isinstance(message, RoomMessage):
            self.counters["room_messages"] += 1
        elif isinstance(message, Refused):
            self.counters[f"refused/{message.reason.value}"] += 1
        elif isinstance(message, Goodbye):
            self.counters[f"farewells/{message.reason.value}"] += 1

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.switchboard.next_deadline(self._now())
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._dispatch(self.switchboard.expire(self._now()))
