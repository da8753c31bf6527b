# SPDX-License-Identifier: Apache-2.0
"""What reaching linked devices needs to know of the agent. Layer: agent. Specification: docs/specs/handoff-v2.md §8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2p_handoff.agent.relays import Relays
from p2p_handoff.agent.wire import Wire
from p2p_handoff.engines.base import Engine, IceServer
from p2p_handoff.ids import DeviceId, Entropy
from p2p_handoff.protocol.connection import PROTOCOL_VERSIONS
from p2p_handoff.protocol.messages import Hello
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.store.store import Store


@dataclass(frozen=True, slots=True)
class Dialling:
    """What a dialer needs to know of the agent.

    Args:
        addresses: Relay URLs of a device as discovery sees them now, best first.
        manual: Relay URLs given by hand.
        hello: What this device says of itself.
        versions: Protocol versions spoken.
        seen: The highest counter that a device ever showed.
        is_clear: Whether what the peer showed in its Hello can be judged (docs/specs/ownership.md §7).
        opened: Called with every wire whose handshake is complete.
        is_linking: Whether a link is being made: a device that was unlinked may be coming back.
        dropped: Called with a linked device that says that it trusts this one no longer.
        clock: Unix seconds.
    """

    identity: Identity
    store: Store
    engine: Engine
    relays: Callable[[], Relays]
    addresses: Callable[[DeviceId], Sequence[str]]
    manual: Sequence[str]
    ice_servers: Sequence[IceServer]
    hello: Callable[[DeviceId], Hello]
    seen: Callable[[DeviceId], int]
    is_clear: Callable[[Wire], bool]
    opened: Callable[[Wire], None]
    is_linking: Callable[[], bool]
    dropped: Callable[[DeviceId], None]
    clock: Callable[[], float]
    entropy: Entropy
    versions: tuple[int, ...] = PROTOCOL_VERSIONS

    def pinned(self, device: DeviceId) -> PublicIdentity | None:
        """The keys of a linked device; None for any other."""
        link = self.store.links.get(device)
        return None if link is None else PublicIdentity.from_bytes(link.public)

    def remembered(self, device: DeviceId) -> PublicIdentity | None:
        """The keys of a device that is, or was, linked."""
        former = self.store.links.former(device)
        return self.pinned(device) if former is None else PublicIdentity.from_bytes(former.link.public)
