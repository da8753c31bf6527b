# SPDX-License-Identifier: Apache-2.0
"""Which parts of a session are offered to a device, and which the settings keep here. Layer: agent.

Specification: docs/configuration.md, docs/specs/ownership.md §3 (partial accept): what is not offered stays here, is
recorded as held elsewhere, and is never thereby deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from p2p_handoff.agent.policies import pieces_bound, pieces_of
from p2p_handoff.agent.requests import part_as_json
from p2p_handoff.errors import HandoffError, PolicyError, SecretsError, UsageError
from p2p_handoff.ids import PartId
from p2p_handoff.session.guard import stays_here
from p2p_handoff.session.manifest import Manifest, Part
from p2p_handoff.session.policy import Policy
from p2p_handoff.store.records import PartBinding


@dataclass(frozen=True, slots=True)
class Selection:
    """What a plan and the settings leave of a session.

    Args:
        types: Part types that were chosen; empty means all.
        without: Parts that the settings leave out of what the target asked for.
        policy: What holds for the target.
    """

    types: frozenset[str]
    without: frozenset[PartId]
    policy: Policy

    def offered(self, manifest: Manifest) -> frozenset[PartId]:
        """Parts that go out."""
        kept = {part.id for part in self.withheld(manifest)}
        return frozenset(part.id for part in self._chosen(manifest) if part.id not in kept)

    def withheld(self, manifest: Manifest) -> tuple[Part, ...]:
        """Parts that were chosen and stay, since the settings do not let them leave."""
        chosen = tuple(self._chosen(manifest))
        kept = self.policy.withheld(pieces_of(chosen)) | self.without
        return tuple(part for part in chosen if part.id in kept)

    def may_go(self, binding: PartBinding) -> bool:
        """True for a part that would go out, whatever is in it."""
        kept = self.policy.withheld(pieces_bound((binding,))) | self.without
        return binding.part not in kept and (not self.types or binding.type.value in self.types)

    def nothing_left(self, manifest: Manifest, peer: str) -> HandoffError:
        """Why nothing is offered.

        Args:
            manifest: The session.
            peer: Name of the target.
        """
        kept = ", ".join(f"{part.name} ({part.type.value})" for part in self.withheld(manifest))
        secret = next((part for part in manifest.parts if stays_here(part) and self._is_chosen(part)), None)
        if secret is not None:
            return SecretsError(
                f"all that would go to {peer} holds what looks like a secret: {secret.name} ({secret.secrets[0].kind})",
                advice="look at it; --include-secrets sends it",
            )
        if not kept:
            return UsageError("the session has no part of the chosen types here")
        return PolicyError(
            f"this device's settings let nothing of {manifest.title!r} leave to {peer}: {kept} stays",
            state="the session is unchanged and still here",
            advice="'handoff peers' shows what may leave where, 'handoff config' changes it",
        )

    def _chosen(self, manifest: Manifest) -> Iterable[Part]:
        return (part for part in manifest.parts if self._is_chosen(part) and not stays_here(part))

    def _is_chosen(self, part: Part) -> bool:
        return part.held_by is None and (not self.types or part.type.value in self.types)


def withheld_as_json(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """What stays here, as reports list it."""
    return [part_as_json(part) for part in parts]
