# SPDX-License-Identifier: Apache-2.0
"""Where a relay is: its URL, checked once. Layer: I/O ring, pure. Specification: docs/specs/signaling.md §2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from yarl import URL

from p2p_handoff.errors import UsageError
from signaling.login import host_label
from signaling.messages import HostLabel

PATH: Final = "/v1"


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """A relay that can be dialled."""

    url: URL
    label: HostLabel
    """What the login names: canonical host and port."""


def parse_relay_url(text: str) -> RelayAddress:
    """Check a relay URL; a missing path becomes ``/v1``, a missing port 80 (ws) or 443 (wss).

    Raises:
        UsageError: It is not ``ws://`` or ``wss://`` with a host, or carries a user, query or fragment.
    """
    try:
        url = URL(text)
    except ValueError as error:
        raise UsageError(f"{text[:80]!r} is not a URL") from error
    host, port = url.raw_host, url.port
    if url.scheme not in {"ws", "wss"} or not host or not port:
        raise UsageError(f"{text[:80]!r} is not a relay address", advice="write ws://HOST:PORT or wss://HOST:PORT")
    if url.raw_user or url.raw_password or url.query_string or url.fragment:
        raise UsageError(f"{text[:80]!r} has parts that a relay address does not have")
    if url.path in {"", "/"}:
        url = url.with_path(PATH)
    if ":" in host and url.host is not None:
        url = url.with_host(url.host)  # A zone is escaped in a URL (RFC 6874) and not where the system resolves it.
    return RelayAddress(url, host_label(host, port))
