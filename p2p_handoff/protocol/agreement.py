# SPDX-License-Identifier: Apache-2.0
"""What both sides agreed on with Request and Accept, and every later message must keep to. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §5. A manifest comes three times: offered, with each round, and granted. It is
about one session throughout, an accepted part stays what it was, and nobody takes or serves what was not offered.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.protocol.messages import Accept, Request
from p2p_handoff.session.manifest import Manifest, Part, decode_manifest


def check_offer(request: Request, session: SessionId) -> tuple[Manifest, tuple[Part, ...]]:
    """Read an offer.

    Args:
        request: The source's offer.
        session: What its Init named.

    Returns:
        The manifest and the parts offered.

    Raises:
        RemoteProtocolError: It is about another session, or offers what the source does not have.
    """
    manifest = decode_manifest(request.manifest)
    if manifest.session != session:
        raise RemoteProtocolError("the offer is about another session than it began with")
    offered = tuple(part for part in manifest.parts if part.id in request.parts)
    if len(offered) != len(request.parts) or any(part.held_by is not None for part in offered):
        raise RemoteProtocolError("the offer names parts that the other device does not have")
    return manifest, offered


def check_later(data: bytes, agreed: Manifest, accepted: Iterable[PartId]) -> Manifest:
    """Read the manifest of a round, a grant or a finish.

    Args:
        data: The encoded manifest.
        agreed: The one that was offered.
        accepted: The parts that were accepted.

    Raises:
        RemoteProtocolError: It is about another session, or an accepted part is missing or became something else.
    """
    manifest = decode_manifest(data)
    if manifest.session != agreed.session:
        raise RemoteProtocolError("a manifest is about another session than the handoff")
    before = {part.id: part for part in agreed.parts}
    now = {part.id: part for part in manifest.parts}
    for name in accepted:
        part, old = now.get(name), before[name]
        if part is None or part.held_by is not None or (part.type, part.kind) != (old.type, old.kind):
            raise RemoteProtocolError(f"the accepted part {name} is missing or became something else")
    return manifest


def check_accept(accept: Accept, offered: Iterable[PartId]) -> None:
    """Check what a target takes.

    Raises:
        RemoteProtocolError: A part was not offered, or is named twice.
    """
    if len(set(accept.parts)) != len(accept.parts) or not set(accept.parts) <= set(offered):
        raise RemoteProtocolError("the other device took parts that were not offered")
