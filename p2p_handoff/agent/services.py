# SPDX-License-Identifier: Apache-2.0
"""What every handoff of an agent works with, in one frozen bundle. Layer: agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.current_settings import CurrentSettings
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.keeping import Keeper
from p2p_handoff.agent.policies import Policies
from p2p_handoff.agent.secret_search import SecretSearch
from p2p_handoff.agent.stagings import Stagings
from p2p_handoff.agent.unplaced import Unplaced
from p2p_handoff.agent.wire import Wire
from p2p_handoff.ids import DeviceId, Entropy
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.settings.config import Settings
from p2p_handoff.store.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """Shared parts of one agent.

    Args:
        connect: Returns an open wire to a linked device, an existing one where there is one.
        peer_name: Display name of a device.
        policies: What linked devices may do.
        keeper: Keeps what handoffs, undos and merges replace.
        seek: Returns an open wire to a device that a frozen session waits for, however long that takes; before each
            attempt it asks whether that is urgent.
        is_old: Whether a peer's home is an old copy: it takes part in no handoff (docs/specs/ownership.md §7).
        sighted: Waits until a device comes into sight, or that many seconds.
        clock: Unix seconds.
    """

    identity: Identity
    store: Store
    catalog: Catalog
    keeper: Keeper
    current: CurrentSettings
    policies: Policies
    events: Events
    entropy: Entropy
    connect: Callable[[DeviceId], Awaitable[Wire]]
    peer_name: Callable[[DeviceId], str]
    seek: Callable[[DeviceId, Callable[[], bool]], Coroutine[Any, Any, Wire]]
    is_old: Callable[[DeviceId], bool]
    sighted: Callable[[DeviceId, float], Awaitable[None]]
    clock: Callable[[], float]
    stagings: Stagings
    secrets: SecretSearch
    unplaced: Unplaced

    @property
    def settings(self) -> Settings:
        """As they hold now."""
        return self.current.value

    def name_of(self, device: DeviceId) -> str:
        """Display name of any device, this one too."""
        return self.settings.name if device == self.identity.device else self.peer_name(device)

    def is_own(self, device: DeviceId) -> bool:
        """Whether a device is linked as one's own."""
        link = self.store.links.get(device)
        return link is not None and link.kind is LinkKind.OWN

    def asks(self, device: DeviceId) -> bool:
        """Whether a device is somebody else's, so that a person there is asked."""
        link = self.store.links.get(device)
        return link is not None and link.kind is LinkKind.OTHER
