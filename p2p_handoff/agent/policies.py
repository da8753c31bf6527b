# SPDX-License-Identifier: Apache-2.0
"""What the settings as they hold now let each linked device do. Layer: agent.

Specification: docs/configuration.md. Judged by session.policy; here the links and the settings are looked up, anew
for every question, so that an unlinked device and a changed file count at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from p2p_handoff.ids import DeviceId
from p2p_handoff.session.manifest import Part, PartType
from p2p_handoff.session.policy import Known, Piece, Policy, Unclear, policy_of, unclear
from p2p_handoff.settings.config import Settings
from p2p_handoff.settings.keys import KINDS
from p2p_handoff.store.records import LinkedDevice, PartBinding
from p2p_handoff.store.store import Store


class Policies:
    """The policies of one agent.

    Args:
        store: Knows the linked devices.
        settings: As they hold now.
    """

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._settings = settings

    def of(self, device: DeviceId) -> Policy:
        """What holds for a device."""
        settings = self._settings()
        link = self._store.links.get(device)
        return policy_of(_known(link) if link else None, settings.policy, settings.device, self._linked())

    def place(self, device: DeviceId, kind: str) -> Path:
        """The directory for what comes from a device and is new here."""
        into = self.of(device).terms(kind).into
        return Path(into) if into is not None else self._settings().receive_dir

    def as_json(self, device: DeviceId) -> dict[str, dict[str, Any]]:
        """What holds for a linked device by kind of part; nothing for one that is not linked."""
        if self._store.links.get(device) is None:
            return {}
        policy = self.of(device)
        return {
            kind: {
                "push": terms.push.value,
                "take": terms.take.value,
                "may_leave": [item.value for item in PartType if item in terms.may_leave],
                "into": str(self.place(device, kind)),
            }
            for kind in KINDS
            for terms in (policy.terms(kind),)
        }

    def unclear(self, settings: Settings | None = None) -> tuple[Unclear, ...]:
        """Tables that cannot be followed, since it is not clear which device they mean."""
        return unclear((settings or self._settings()).device, self._linked())

    def _linked(self) -> list[Known]:
        return [_known(link) for link in self._store.links.all()]


def pieces_of(parts: Iterable[Part]) -> list[Piece]:
    """Parts of a manifest as a policy looks at them."""
    return [Piece(part.id, part.type, part.kind) for part in parts]


def pieces_bound(bindings: Iterable[PartBinding]) -> list[Piece]:
    """Parts of a session on this device as a policy looks at them."""
    return [Piece(binding.part, binding.type, binding.kind) for binding in bindings]


def _known(link: LinkedDevice) -> Known:
    return Known(link.device, link.name, link.kind)
