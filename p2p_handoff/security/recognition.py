# SPDX-License-Identifier: Apache-2.0
"""How linked devices recognise each other in public without being recognised. Layer: security, pure.

Two devices that pinned each other's identity share a key that nobody else can compute. In public each shows a fresh
label and, for every device that shall recognise it, a tag over that label. Specification: docs/specs/discovery.md §6.
"""

from __future__ import annotations

import hmac
from typing import Final

from p2p_handoff.ids import DeviceId
from p2p_handoff.security.identity import Identity, PublicIdentity

TAG_BYTES: Final = 10
"""80 bits: among all tags that a full network shows, none fits by chance."""

_USE: Final = b"discovery"
_DOMAIN: Final = b"p2p-handoff discovery v1\0"


def recognition_key(identity: Identity, peer: PublicIdentity) -> bytes:
    """The key that two linked devices know and nobody else, 32 bytes; the same at both.

    Raises:
        TrustError: The peer's key is degenerate.
    """
    return identity.agree(peer, _USE)


def recognition_tag(key: bytes, label: str, speaker: DeviceId, listener: DeviceId) -> bytes:
    """What a device shows beside a label so that one other device recognises it.

    Args:
        key: Of the two devices, from ``recognition_key``.
        label: Fresh and random; ASCII.
        speaker: Who shows it.
        listener: Who shall recognise the speaker.
    """
    said = b"\0".join(part.encode("ascii") for part in (label, speaker, listener))
    return hmac.digest(key, _DOMAIN + said, "sha256")[:TAG_BYTES]
