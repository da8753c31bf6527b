# SPDX-License-Identifier: Apache-2.0
"""How the selected candidate pair is told. Layer: I/O ring, pure. Specification: docs/specs/transport.md §3."""

from __future__ import annotations

import ipaddress
from typing import Final

from p2p_handoff.engines.base import PathKind

_KINDS: Final = {
    "host": PathKind.HOST,
    "srflx": PathKind.REFLEXIVE,
    "prflx": PathKind.REFLEXIVE,
    "relay": PathKind.RELAYED,
}
_LEAST_DIRECT_FIRST: Final = (PathKind.UNKNOWN, PathKind.RELAYED, PathKind.REFLEXIVE, PathKind.HOST)


def path_kind(local_type: str, remote_type: str, *addresses: str | None) -> PathKind:
    """The kind of a pair is that of its less direct side.

    A loopback address on either side makes it direct: an agent that hides its loopback candidates still sends
    from them to an address of its own machine, and then shows as peer-reflexive.

    Args:
        local_type: Candidate type of this side, as in RFC 8839 §5.1.
        remote_type: Candidate type of the other side.
        addresses: IP addresses of the sides, as far as they are known.
    """
    if any(address and ipaddress.ip_address(address).is_loopback for address in addresses):
        return PathKind.HOST
    sides = [_KINDS.get(kind, PathKind.UNKNOWN) for kind in (local_type, remote_type)]
    return min(sides, key=_LEAST_DIRECT_FIRST.index)


def transport_address(host: str | None, port: int | None) -> str:
    """``address:port``, IPv6 in brackets; empty where the library withholds it."""
    if host is None or port is None:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
