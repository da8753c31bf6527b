# SPDX-License-Identifier: Apache-2.0
"""Linked devices, and the tombstones of revoked ones. Layer: I/O ring. Specification: docs/specs/store.md §5."""

from __future__ import annotations

from dataclasses import astuple
from typing import Final

from p2p_handoff.errors import NotFoundError, TrustError
from p2p_handoff.ids import DeviceId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store.database import Database, Row
from p2p_handoff.store.records import EndedBy, FormerLink, LinkedDevice

_COLUMNS: Final = "device, public, name, kind, linked_at, last_seen, highest_counter, introduced_by, admission"


class Links:
    """The devices that this one trusts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, link: LinkedDevice) -> None:
        """Pin a device, or update what is pinned. What was seen of it stays.

        Raises:
            TrustError: It was revoked; ``readmit`` is for a person who links it anew.
        """
        if self.is_revoked(link.device):
            raise TrustError(f"{link.name} was unlinked from this device", advice="link it again with a code")
        self._save(link)

    def readmit(self, link: LinkedDevice) -> None:
        """Pin a device whether or not it was revoked before: a person linked it by code, or the circle has it again."""
        self._save(link)

    def get(self, device: DeviceId) -> LinkedDevice | None:
        """A linked device; None when it is unknown or revoked."""
        row = self._database.row(
            f"SELECT {_COLUMNS} FROM links WHERE device = ? AND revoked_at IS NULL",  # noqa: S608 - a constant
            (device,),
        )
        return None if row is None else _link(row)

    def all(self) -> tuple[LinkedDevice, ...]:
        """All linked devices, by name."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM links WHERE revoked_at IS NULL ORDER BY name, device",  # noqa: S608 - a constant
        )
        return tuple(_link(row) for row in rows)

    def rename(self, device: DeviceId, name: str) -> None:
        """Change the name that people see.

        Raises:
            NotFoundError: It is not linked.
        """
        self._change("UPDATE links SET name = ? WHERE device = ? AND revoked_at IS NULL", (name, device))

    def seen(self, device: DeviceId, *, at: float, counter: int) -> None:
        """Note an authenticated contact and the counter that the peer showed; the highest stays.

        Args:
            device: The peer.
            at: Unix seconds.
            counter: Its store counter.

        Raises:
            NotFoundError: It is not linked.
        """
        self._change(
            "UPDATE links SET last_seen = ?, highest_counter = max(highest_counter, ?)"
            " WHERE device = ? AND revoked_at IS NULL",
            (at, counter, device),
        )

    def remove(self, device: DeviceId, *, at: float, by: EndedBy = EndedBy.PERSON) -> None:
        """Revoke a link; the device stays known as revoked, its addresses go.

        Args:
            device: The peer.
            at: Unix seconds.
            by: Who ended it.

        Raises:
            NotFoundError: It is not linked.
        """
        with self._database.transaction():
            changed = self._database.write(
                "UPDATE links SET revoked_at = ?, ended_by = ? WHERE device = ? AND revoked_at IS NULL",
                (at, by.value, device),
            )
            self._database.write("DELETE FROM addresses WHERE device = ?", (device,))
            _expect_one(changed, device)

    def is_revoked(self, device: DeviceId) -> bool:
        """True for a device that was linked once and is no longer."""
        return self._database.row(
            "SELECT 1 FROM links WHERE device = ? AND revoked_at IS NOT NULL", (device,)
        ) is not None  # fmt: skip

    def former(self, device: DeviceId) -> FormerLink | None:
        """A device that is linked no longer; None when it is, or never was."""
        return next((former for former in self.all_former() if former.link.device == device), None)

    def all_former(self) -> tuple[FormerLink, ...]:
        """All devices that are linked no longer, by name."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, revoked_at, ended_by FROM links"  # noqa: S608 - a constant
            " WHERE revoked_at IS NOT NULL ORDER BY name, device"
        )
        return tuple(FormerLink(_link(row[:-2]), row[-2], EndedBy(row[-1])) for row in rows)

    def revoked(self) -> tuple[tuple[DeviceId, float], ...]:
        """All revoked devices and when, in Unix seconds: the list that handshakes carry."""
        rows = self._database.rows("SELECT device, revoked_at FROM links WHERE revoked_at IS NOT NULL ORDER BY device")
        return tuple((DeviceId(device), at) for device, at in rows)

    def _save(self, link: LinkedDevice) -> None:
        with self._database.transaction():
            self._database.write(
                f"INSERT INTO links ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant
                " ON CONFLICT (device) DO UPDATE SET public = excluded.public, name = excluded.name,"
                " kind = excluded.kind, linked_at = excluded.linked_at, revoked_at = NULL,"
                " ended_by = NULL, introduced_by = excluded.introduced_by, admission = excluded.admission,"
                " highest_counter = max(highest_counter, excluded.highest_counter)",
                (*astuple(link)[:3], link.kind.value, *astuple(link)[4:]),
            )

    def _change(self, sql: str, parameters: tuple[object, ...]) -> None:
        with self._database.transaction():
            _expect_one(self._database.write(sql, parameters), parameters[-1])


def _expect_one(changed: int, device: object) -> None:
    if changed != 1:
        raise NotFoundError(f"device {device} is not linked")


def _link(row: Row) -> LinkedDevice:
    device, public, name, kind, *rest = row
    return LinkedDevice(DeviceId(device), public, name, LinkKind(kind), *rest)
