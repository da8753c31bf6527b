# SPDX-License-Identifier: Apache-2.0
"""The names by which people know linked devices: no two look alike. Layer: agent.

Specification: docs/specs/link.md §8.
"""

from __future__ import annotations

from p2p_handoff.errors import UsageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.security.names import cleaned, looks_like, skeleton, told_apart
from p2p_handoff.session.paths import printable
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store


def linked_name(store: Store, mine: str, device: DeviceId, said: str) -> str:
    """What a device is called here from now on; one that is linked keeps the name that people know.

    Args:
        store: Knows the linked devices.
        mine: This device's own name.
        device: Whose name it is.
        said: What it, or who introduced it, calls it.
    """
    known = store.links.get(device)
    if known is not None:
        return known.name
    name = printable(cleaned(said), MAX_TITLE)
    return told_apart(name, device, _others(store, mine, device))


def rename(store: Store, mine: str, link: LinkedDevice, name: str) -> LinkedDevice:
    """Give a linked device the name that a person chose.

    Raises:
        UsageError: It is empty, cannot be shown, or looks like the name of another device.
    """
    wanted = name.strip()
    if not skeleton(wanted) or cleaned(wanted) != wanted or len(wanted) > MAX_TITLE:
        raise UsageError("a name has letters, no invisible characters, and at most 200 characters")
    other = looks_like(wanted, _others(store, mine, link.device))
    if other is not None:
        raise UsageError(f"{wanted!r} looks like {other!r}, which is another device", advice="choose another name")
    store.links.rename(link.device, wanted)
    renamed = store.links.get(link.device)
    assert renamed is not None
    return renamed


def _others(store: Store, mine: str, device: DeviceId) -> list[str]:
    return [mine, *(link.name for link in store.links.all() if link.device != device)]
