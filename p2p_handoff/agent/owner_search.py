# SPDX-License-Identifier: Apache-2.0
"""Which device is asked for a session that a person wants to take, and which session that is. Layer: agent.

Specification: docs/cli.md §1. A session that is known here is asked of its primary; one that is not is looked for on
own devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from p2p_handoff.agent.naming import Naming
from p2p_handoff.agent.peers import PeerBook
from p2p_handoff.agent.push_refusals import About, lost
from p2p_handoff.agent.services import Services
from p2p_handoff.errors import AmbiguousError, HandoffError, NotFoundError, UsageError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.protocol.messages import SessionSummary
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.ownership import Role, is_lost
from p2p_handoff.store.records import LinkedDevice, SessionRecord

Asked = tuple[DeviceId, SessionId]
"""The device that is asked, and the session that it is asked for."""


class SessionsOf(Protocol):
    """Asks a device what it offers."""

    async def __call__(self, peer: DeviceId, *, insist: bool = False) -> Sequence[SessionSummary]:
        """Ask; ``insist``: it is tried for as long as the target of a push, else once."""


class OwnerSearch:
    """Finds whom to ask.

    Args:
        services: The agent's parts.
        naming: Finds the session that a person means.
        peer_book: Finds the device that a person means.
        sessions_of: Asks a device what it offers.
    """

    def __init__(
        self,
        services: Services,
        naming: Naming,
        peer_book: PeerBook,
        sessions_of: SessionsOf,
    ) -> None:
        self._services = services
        self._naming = naming
        self._peer_book = peer_book
        self._sessions_of = sessions_of

    async def find(self, text: str | None, peer: str | None, here: Path | None) -> Asked:
        """Whom to ask for what.

        Args:
            text: What the person typed for the session; None for the one of the folder ``here``, else the only one.
            peer: What the person typed for the device; None where that is left open.
            here: The directory that the person stands in, if that is known.

        Raises:
            NotFoundError, AmbiguousError: Which session or device is not clear, or nobody in reach has it.
            UsageError: This device is the primary already.
            TrustError: This home is an old copy that has lost the session.
        """
        try:
            record = self._naming.meant(text, here)
        except NotFoundError:
            if text is None:
                raise
            return await self._ask_around(text, peer)
        return self._owner_of(record, peer), record.id

    def _owner_of(self, record: SessionRecord, peer: str | None) -> DeviceId:
        me, own = self._services.identity.device, record.ownership
        if is_lost(own, me=me) and peer is None:
            name = self._services.name_of(me)
            raise lost(About(record, name, name))
        if own.primary == me and own.role is not Role.SECONDARY:
            raise UsageError(f"this device is the primary of {record.title!r} already")
        return self._peer_book.linked(peer).device if peer else own.primary

    async def _ask_around(self, text: str, peer: str | None) -> Asked:
        candidates = [self._peer_book.linked(peer)] if peer else self._own_devices()
        found: dict[Asked, str] = {}
        for link in candidates:
            try:
                offered = await self._sessions_of(link.device, insist=peer is not None)
            except HandoffError:
                if peer:  # Who was asked by name and gave no answer may well have it.
                    raise
                continue
            for summary in offered:
                fits = summary.session.startswith(text.lower()) or summary.title.casefold() == text.casefold()
                if fits and summary.primary == link.device:
                    found[link.device, summary.session] = summary.title
        if not found:
            raise NotFoundError(
                f"no own device in reach is the primary of {text!r}", advice="'handoff peers' lists them"
            )
        if len(found) > 1:
            raise AmbiguousError(f"{text!r} fits several sessions", advice="give more of the id, or --from PEER")
        return next(iter(found))

    def _own_devices(self) -> list[LinkedDevice]:
        return [link for link in self._services.store.links.all() if link.kind is LinkKind.OWN]
