# SPDX-License-Identifier: Apache-2.0
"""Where linked devices were last reached. Layer: I/O ring. Specification: docs/specs/store.md §5."""

from __future__ import annotations

from typing import Final

from p2p_handoff.ids import DeviceId
from p2p_handoff.store.database import Database

MAX_ADDRESSES: Final = 8
"""Addresses kept per device: home, office, phone and a few relays; older ones are hardly still right."""


class Addresses:
    """Relay URLs that led to a linked device."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, device: DeviceId, url: str, *, at: float) -> None:
        """Note that a URL led to a device; the oldest of more than MAX_ADDRESSES is forgotten.

        Args:
            device: A linked device.
            url: Of a relay.
            at: Unix seconds.

        Raises:
            LocalProtocolError: The device is not linked.
        """
        with self._database.transaction():
            self._database.write(
                "INSERT INTO addresses (device, url, last_good) VALUES (?, ?, ?)"
                " ON CONFLICT (device, url) DO UPDATE SET last_good = max(last_good, excluded.last_good)",
                (device, url, at),
            )
            self._database.write(
                "DELETE FROM addresses WHERE device = ? AND url NOT IN"
                " (SELECT url FROM addresses WHERE device = ? ORDER BY last_good DESC, url LIMIT ?)",
                (device, device, MAX_ADDRESSES),
            )

    def recent(self, device: DeviceId) -> tuple[str, ...]:
        """The URLs that led to a device, the newest first."""
        rows = self._database.rows("SELECT url FROM addresses WHERE device = ? ORDER BY last_good DESC, url", (device,))
        return tuple(url for (url,) in rows)

    def forget(self, device: DeviceId, url: str) -> None:
        """Drop a URL that leads nowhere any more; one that is unknown is no error."""
        with self._database.transaction():
            self._database.write("DELETE FROM addresses WHERE device = ? AND url = ?", (device, url))
