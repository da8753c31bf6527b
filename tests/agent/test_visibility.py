# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.agent.visibility import acquaintances, audience, in_force
from p2p_handoff.discovery.announcement import Audience
from p2p_handoff.security.identity import MLKEM_KEY_BYTES, Identity, PublicIdentity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.security.recognition import recognition_key
from p2p_handoff.settings.config import Settings
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store, open_store

ME = Identity.generate()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3", ME.device) as opened:
        yield opened


@pytest.mark.parametrize(
    ("visible", "linked", "expected"),
    [
        ("auto", False, Audience.EVERYONE),
        ("auto", True, Audience.LINKED),
        ("everyone", True, Audience.EVERYONE),
        ("linked", False, Audience.LINKED),
        ("nobody", True, None),
    ],
)
def test_who_recognises_this_device(visible: str, linked: bool, expected: Audience | None) -> None:
    assert audience(visible, linked=linked) is expected


def link(public: PublicIdentity, last_seen: float | None) -> LinkedDevice:
    return LinkedDevice(public.device, public.to_bytes(), "name", LinkKind.OWN, 1.0, last_seen)


def test_linked_devices_are_recognised_those_met_last_first(store: Store) -> None:
    never, long_ago, lately = (Identity.generate() for _ in range(3))
    for other, seen in ((never, None), (long_ago, 5.0), (lately, 9.0)):
        store.links.add(link(other.public, seen))
    known = acquaintances(ME, store.links)
    assert known.me == ME.device
    assert list(known.keys) == [lately.device, long_ago.device, never.device]
    assert known.keys[lately.device] == recognition_key(lately, ME.public)
    store.links.remove(lately.device, at=10.0)
    assert lately.device not in acquaintances(ME, store.links).keys


def test_a_device_with_a_degenerate_key_hides_nobody_else(store: Store) -> None:
    good, other = Identity.generate(), Identity.generate()
    bad = replace(other.public, kem_key=other.public.kem_key[:MLKEM_KEY_BYTES] + bytes(32))
    for public in (bad, good.public):
        store.links.add(link(public, None))
    assert list(acquaintances(ME, store.links).keys) == [good.device]


def test_what_is_in_force_is_told(store: Store) -> None:
    settings = Settings(name="laptop")
    assert in_force(settings, store.links) == "everyone"
    store.links.add(link(Identity.generate().public, None))
    assert in_force(settings, store.links) == "linked"
    assert in_force(replace(settings, visible="nobody"), store.links) == "nobody"
    assert in_force(replace(settings, mdns=False), store.links) == "nobody"
