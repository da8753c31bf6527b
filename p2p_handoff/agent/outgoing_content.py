# SPDX-License-Identifier: Apache-2.0
"""What an outgoing handoff shows of its session: pictures, and what of them is offered. Layer: agent.

Specification: docs/specs/handoff-v2.md §6, docs/specs/secrets.md §4. Whatever leaves is of the latest picture, and only
what may leave is in there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from p2p_handoff.adapters.base import PartPicture
from p2p_handoff.agent.catalog import Look, Picture
from p2p_handoff.agent.leaving import Care, Leaving
from p2p_handoff.agent.offering import Selection
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.report import secrets_as_json
from p2p_handoff.agent.search_ahead import SearchAhead
from p2p_handoff.agent.services import Services
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import PartId
from p2p_handoff.limits import MAX_LEFT_OUT_TOLD
from p2p_handoff.session.guard import EVERYTHING, shown_to_others
from p2p_handoff.session.manifest import Manifest, Part, encode_manifest


class OutgoingContent:
    """The content of one outgoing handoff; ``picture`` or ``picture_again`` comes before what tells of it.

    Args:
        services: The agent's parts.
        plan: What to hand over to whom.
    """

    def __init__(self, services: Services, plan: OutgoingPlan) -> None:
        self._services = services
        self._plan = plan
        self._selection = Selection(plan.types, plan.without, services.policies.of(plan.target))
        self._ahead = SearchAhead(services.secrets)
        self._picture: Picture | None = None
        self._withheld: tuple[Part, ...] = ()

    async def picture(
        self, accepted: Iterable[PartId], *, freeze: Iterable[PartId] = (), thorough: bool = True
    ) -> Mapping[PartId, PartPicture]:
        """Picture the session as it is now.

        Args:
            accepted: Parts that the target takes; empty while that is not known.
            freeze: Parts whose edits wait from here on.
            thorough: Whether all is searched for secrets before it returns. For somebody else's device it is anyway;
                for an own one the search goes on beside what follows otherwise, until ``close``.

        Returns:
            What may be served.

        Raises:
            HandoffError: It cannot be pictured, or something in it must not leave.
        """
        plan, taken = self._plan, frozenset(accepted)
        is_own = self._services.is_own(plan.target)
        letting = EVERYTHING if is_own else plan.letting
        care = (Care.LISTED if thorough else Care.GLANCE) if is_own else Care.ALL
        me = self._services.identity.device
        leaving = Leaving(self._services.secrets, me, letting, self._selection.may_go, taken, care)
        snapshots = await self._take(taken, leaving.look, tuple(freeze))
        if care is Care.GLANCE:
            self._ahead.start(plan.session, snapshots)
        return snapshots

    async def picture_again(self, accepted: Iterable[PartId], granted: Manifest) -> Mapping[PartId, PartPicture]:
        """Picture a session that was granted before a restart.

        No part is frozen: the adapters remember what was granted, not what is here by now.

        Args:
            accepted: Parts that were granted.
            granted: As they were then; what it lists as secrets is listed.

        Returns:
            What can be served still.

        Raises:
            HandoffError: It cannot be pictured.
        """
        secrets = {part.id: part.secrets for part in granted.parts}
        return await self._take(frozenset(accepted), lambda binding, _known, _picture: secrets[binding.part], ())

    async def _take(
        self, accepted: frozenset[PartId], look: Look, freeze: tuple[PartId, ...]
    ) -> Mapping[PartId, PartPicture]:
        picture = await asyncio.to_thread(self._services.catalog.picture, self._plan.session, freeze=freeze, look=look)
        allowed = accepted or self._selection.offered(picture.manifest)
        snapshots = {name: snapshot for name, snapshot in picture.snapshots.items() if name in allowed}
        self._withheld = self._selection.withheld(picture.manifest)
        self._picture = Picture(self.shown(picture.manifest, accepted), snapshots)
        return snapshots

    def shown(self, manifest: Manifest, accepted: Iterable[PartId]) -> Manifest:
        """A session as the target sees it: the parts that it was offered, and that there are others."""
        return shown_to_others(manifest, self._selection.offered(manifest) | frozenset(accepted))

    def close(self) -> None:
        """Search no further."""
        self._ahead.stop()

    @property
    def manifest(self) -> Manifest:
        """The latest picture's."""
        assert self._picture is not None
        return self._picture.manifest

    @property
    def is_pictured(self) -> bool:
        """Whether there is a picture yet."""
        return self._picture is not None

    def encoded(self) -> bytes:
        """The manifest as it is sent."""
        return encode_manifest(self.manifest)

    def roots(self) -> Mapping[PartId, Digest]:
        """Of every part: equal roots are equal content."""
        return {part.id: part.root for part in self.manifest.parts}

    def offered(self) -> tuple[PartId, ...]:
        """What the target may choose from, in the manifest's order."""
        offered = self._selection.offered(self.manifest)
        return tuple(part.id for part in self.manifest.parts if part.id in offered)

    def nothing_left(self) -> HandoffError:
        """Why nothing is offered."""
        return self._selection.nothing_left(self.manifest, self._services.peer_name(self._plan.target))

    def withheld(self) -> tuple[Part, ...]:
        """What the settings keep here; nothing before the first picture."""
        return self._withheld

    def left_out(self) -> tuple[str, ...]:
        """What of the offered parts cannot be handed over, the first hundred; nothing before the first picture."""
        if self._picture is None:
            return ()
        names = {part.id: part.name for part in self.manifest.parts}
        every = (
            f"{names[part]}/{path.decode('utf-8', 'replace')}"
            for part, snapshot in self._picture.snapshots.items()
            for path in snapshot.skipped
        )
        return tuple(islice(every, MAX_LEFT_OUT_TOLD))

    @property
    def keeps_secrets(self) -> bool:
        """Whether a secret is kept back from the target."""
        return any(secret["withheld"] for secret in self.secrets())

    def secrets(self) -> list[dict[str, Any]]:
        """What the parts list as secrets, as it is reported; nothing before the first picture."""
        return secrets_as_json(self.manifest.parts if self.is_pictured else (), self._services.name_of)
