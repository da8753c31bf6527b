# SPDX-License-Identifier: Apache-2.0
"""To whom this device shows itself, and whom it recognises. Layer: agent. Specification: docs/specs/discovery.md §6."""

from __future__ import annotations

import logging

from p2p_handoff.discovery.announcement import Audience
from p2p_handoff.discovery.veil import Acquaintances
from p2p_handoff.errors import TrustError
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.recognition import recognition_key
from p2p_handoff.settings.config import Settings
from p2p_handoff.store.links import Links

log = logging.getLogger(__name__)

_AUDIENCES = {"everyone": Audience.EVERYONE, "linked": Audience.LINKED, "nobody": None}


def audience(visible: str, *, linked: bool) -> Audience | None:
    """Who shall recognise this device; None where it announces nothing.

    Args:
        visible: The setting.
        linked: Whether it is linked with any device: one that is not has to be found by its name.
    """
    if visible == "auto":
        return Audience.LINKED if linked else Audience.EVERYONE
    return _AUDIENCES[visible]


def in_force(settings: Settings, links: Links) -> str:
    """Who recognises this device now: ``everyone``, ``linked`` or ``nobody``."""
    to = audience(settings.visible, linked=bool(links.all())) if settings.mdns else None
    return "nobody" if to is None else to.value


def acquaintances(identity: Identity, links: Links) -> Acquaintances:
    """The linked devices with the keys by which they are recognised; those met last come first.

    Raises:
        StorageError: The links cannot be read.
    """
    keys = {}
    for link in sorted(links.all(), key=lambda link: link.last_seen or 0.0, reverse=True):
        try:
            keys[link.device] = recognition_key(identity, PublicIdentity.from_bytes(link.public))
        except TrustError as error:
            log.warning("%s will not be recognised on the network: %s", link.name, error)
    return Acquaintances(identity.device, keys)
