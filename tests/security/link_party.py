# SPDX-License-Identifier: Apache-2.0
"""Two sides of a linking exchange and the relay between them, for the tests of this package."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from p2p_handoff.ids import Entropy, RoomId
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link import LinkExchange
from p2p_handoff.security.link_terms import LinkParameters, Role
from p2p_handoff.security.words import LinkCode

CODE = LinkCode(7, ("velvet", "sausage"))
ROOM = RoomId("r" * 26)
NOW = 1000.0
LAPTOP, DESKTOP = Identity.generate(), Identity.generate()

Relay = Callable[[Role, bytes], list[bytes]]
"""What a relay makes of a message that one side sent."""


def seeded(seed: bytes) -> Entropy:
    """A repeatable source of bytes: SHAKE-256 over the seed and how often it was asked."""
    asked = 0

    def entropy(size: int) -> bytes:
        nonlocal asked
        asked += 1
        return hashlib.shake_256(seed + asked.to_bytes(4, "big")).digest(size)

    return entropy


def parameters(role: Role) -> LinkParameters:
    """What each side of the usual exchange brings."""
    identity, name = (LAPTOP, "laptop") if role is Role.OPENER else (DESKTOP, "desktop")
    return LinkParameters(role, CODE, ROOM, identity, name, NOW, seeded(role.value.encode()))


def faithful(_sender: Role, message: bytes) -> list[bytes]:
    """A relay that does its work."""
    return [message]


class Party:
    """Both sides; ``run`` carries messages until nothing moves."""

    def __init__(self, *, opener: dict[str, object] | None = None, joiner: dict[str, object] | None = None) -> None:
        self.opener = LinkExchange(replace(parameters(Role.OPENER), **(opener or {})))  # type: ignore[arg-type] # fields by name
        self.joiner = LinkExchange(replace(parameters(Role.JOINER), **(joiner or {})))  # type: ignore[arg-type] # fields by name
        self.log: list[tuple[Role, bytes]] = []
        """All that was sent, in order."""

    def side(self, role: Role) -> LinkExchange:
        """The exchange of one side."""
        return self.opener if role is Role.OPENER else self.joiner

    def meet(self, relay: Relay = faithful) -> Party:
        """From both hellos to the decisions."""
        self.run(Role.OPENER, self.opener.start(), relay, pause=True)
        self.run(Role.JOINER, self.joiner.start(), relay, first=self.log[0][1])
        return self

    def run(
        self, sender: Role, messages: list[bytes], relay: Relay = faithful, *, pause: bool = False, first: bytes = b""
    ) -> None:
        """Carry messages, and what they cause, to the other side and back."""
        line = deque((sender, message) for message in messages)
        if first:
            line.appendleft((Role.OPENER, first))
        while line:
            role, message = line.popleft()
            if message is not first:
                self.log.append((role, message))
            if pause:
                continue
            for passed in relay(role, message):
                line.extend((role.other, reply) for reply in self.side(role.other).receive(passed, NOW + 1))
