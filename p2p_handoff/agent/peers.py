# SPDX-License-Identifier: Apache-2.0
"""Devices as a person sees them: linked ones, and those in sight. Layer: agent.

Specification: docs/specs/discovery.md §5.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from p2p_handoff.discovery.announcement import Sighting
from p2p_handoff.errors import AmbiguousError, NotFoundError, StorageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.security.names import told_apart
from p2p_handoff.security.words import key_words
from p2p_handoff.session.paths import printable
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store

_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Peer:
    """One other device."""

    device: DeviceId
    name: str
    linked: str
    """``own``, ``other`` or empty for a device that is only in sight."""
    online: bool
    """In sight by mDNS, or connected."""
    connected: bool
    addresses: tuple[str, ...]
    last_seen: float | None
    """Unix seconds of the last authenticated contact."""
    introduced_by: str
    """Name of the own device that introduced it; empty where a person linked the two by code."""
    key: str
    """Words that stand for its verified key; ``handoff whoami`` there shows the same. Empty where it is not linked."""

    def as_json(self) -> dict[str, Any]:
        """The stable keys of ``handoff peers``."""
        return {
            "device": self.device,
            "name": self.name,
            "linked": self.linked,
            "online": self.online,
            "connected": self.connected,
            "addresses": list(self.addresses),
            "last_seen": self.last_seen,
            "introduced_by": self.introduced_by,
            "key": self.key,
        }


class PeerBook:
    """Finds devices by what a person types.

    Args:
        store: Knows the linked devices.
        sightings: Devices in sight now.
        connected: Whether a wire to a device is open.
    """

    def __init__(
        self, store: Store, sightings: Callable[[], Mapping[DeviceId, Sighting]], connected: Callable[[DeviceId], bool]
    ) -> None:
        self._store = store
        self._sightings = sightings
        self._connected = connected

    def all(self) -> list[Peer]:
        """Linked devices first, then those only in sight, by name."""
        linked = {link.device: link for link in self._store.links.all()}
        sightings = self._sightings()
        known = [link.name for link in linked.values()]
        peers = [self._linked(link, sightings.get(link.device)) for link in linked.values()]
        peers += [self._in_sight(seen, known) for device, seen in sightings.items() if device not in linked]
        return sorted(peers, key=lambda peer: (not peer.linked, peer.name.casefold(), peer.device))

    def linked(self, text: str) -> LinkedDevice:
        """The linked device that a person means by a name or a prefix of an id.

        Raises:
            NotFoundError: None fits.
            AmbiguousError: Several fit.
        """
        return self._meant(text, self._store.links.all())

    def _meant(self, text: str, links: Sequence[LinkedDevice]) -> LinkedDevice:
        fitting = [link for link in links if link.name.casefold() == text.casefold()]
        fitting = fitting or [link for link in links if text and link.device.startswith(text.lower())]
        if not fitting:
            raise NotFoundError(f"no linked device is called {text!r}", advice=self._advice(text))
        if len(fitting) > 1:
            names = ", ".join(f"{link.name} ({link.device[:8]})" for link in fitting)
            raise AmbiguousError(f"{text!r} fits several devices: {names}", advice="give more of the id")
        return fitting[0]

    def once_own(self, text: str) -> LinkedDevice:
        """The device that a person means, also among the own ones that are linked no longer.

        Raises:
            NotFoundError: None fits.
            AmbiguousError: Several fit.
        """
        former = [item.link for item in self._store.links.all_former() if item.link.kind is LinkKind.OWN]
        return self._meant(text, [*self._store.links.all(), *former])

    def name(self, device: DeviceId) -> str:
        """A device's display name, or the beginning of its id: always something, also on a disk that failed.

        What went wrong is told with this name, so it must not be what fails.
        """
        link = None
        with contextlib.suppress(StorageError):
            link = self._store.links.get(device)
        if link is not None:
            return link.name
        with contextlib.suppress(StorageError):
            if (former := self._store.links.former(device)) is not None:
                return former.link.name
        sighting = self._sightings().get(device)
        return _shown(device, sighting)

    def _advice(self, text: str) -> str:
        in_sight = any(sighting.name.casefold() == text.casefold() for sighting in self._sightings().values())
        if in_sight:
            return "it is in sight but not linked: run 'handoff link' there and 'handoff link CODE' here"
        return "'handoff peers' lists the devices, 'handoff link' adds one"

    def _linked(self, link: LinkedDevice, sighting: Sighting | None) -> Peer:
        connected = self._connected(link.device)
        return Peer(
            device=link.device,
            name=link.name,
            linked=link.kind.value,
            online=sighting is not None or connected,
            connected=connected,
            addresses=sighting.addresses if sighting else (),
            last_seen=link.last_seen,
            introduced_by=self.name(link.introduced_by) if link.introduced_by is not None else "",
            key=key_words(link.device),
        )

    def _in_sight(self, seen: Sighting, known: Sequence[str]) -> Peer:
        """A device that is not linked: it does not pass for one that is by calling itself alike."""
        return Peer(
            device=seen.device,
            name=told_apart(_shown(seen.device, seen), seen.device, known),
            linked="",
            online=True,
            connected=self._connected(seen.device),
            addresses=seen.addresses,
            last_seen=None,
            introduced_by="",
            key="",
        )


def _shown(device: DeviceId, sighting: Sighting | None) -> str:
    """What a device that is not linked is called; one that was recognised says no name."""
    return (printable(sighting.name, _MAX_SHOWN) if sighting else "") or device[:8]


def relay_url(host: str, port: int) -> str:
    """The URL of a relay at an address; IPv6 literals get brackets, a scope is escaped (RFC 6874)."""
    literal = f"[{host.replace('%', '%25')}]" if ":" in host else host
    return f"ws://{literal}:{port}/v1"
