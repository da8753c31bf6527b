# SPDX-License-Identifier: Apache-2.0
"""Tells the adapters how an outgoing handoff ended for its parts. Layer: agent.

Specification: docs/specs/adapters.md §1. Ownership was decided before: a part that cannot be told changes nothing, and
is told when the session is looked at next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from p2p_handoff.adapters.base import OpenPart
from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.session.manifest import Manifest
from p2p_handoff.store.records import PartBinding

log = logging.getLogger(__name__)

TELL_FOR: Final = 10.0
"""Seconds for an adapter to note how it ended; one that hangs is told when the session is looked at next."""

Act = Callable[[PartId, OpenPart], None]


async def release_parts(catalog: Catalog, session: SessionId, accepted: Iterable[PartId], granted: Manifest) -> None:
    """The target owns the parts now; ``granted``: as it accepted them."""
    parts = {part.id: part for part in granted.parts}
    await _each_part(
        catalog, session, accepted, lambda name, part: part.release(parts[name].root, parts[name].left_out)
    )


async def thaw_parts(catalog: Catalog, session: SessionId, accepted: Iterable[PartId]) -> None:
    """Edits are normal edits again."""
    await _each_part(catalog, session, accepted, lambda _, part: part.thaw())


async def _each_part(catalog: Catalog, session: SessionId, accepted: Iterable[PartId], act: Act) -> None:
    names = frozenset(accepted)
    for binding in catalog.bindings(session):
        if binding.part not in names or binding.path is None:
            continue
        try:
            async with asyncio.timeout(TELL_FOR):
                await asyncio.to_thread(_tell, catalog, binding, act)
        except Exception as error:  # noqa: BLE001 - whatever it is, the outcome stands
            log.warning("session %s: part %s was not told: %s", session[:6], binding.part, error)


def _tell(catalog: Catalog, binding: PartBinding, act: Act) -> None:
    with catalog.guard(binding.session):
        act(binding.part, catalog.open_part(binding))
