# SPDX-License-Identifier: Apache-2.0
"""What linked devices are called here: the name that people know stays, and no two look alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.agent.names import linked_name, rename
from p2p_handoff.errors import UsageError
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import Store, open_store
from tests.security.circle_world import device

B, C = device("b"), device("c")
LINK = LinkedDevice(B.device, B.public.to_bytes(), "desktop", LinkKind.OWN, 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Of a laptop that is linked with a desktop."""
    with open_store(tmp_path / "store.sqlite3", device("a").device) as opened:
        opened.links.add(LINK)
        yield opened


@pytest.mark.parametrize("said", ["desktop", "DESKTOP ", "desk\u200btop", "d\u0435sktop", "Laptop", ""])
def test_a_new_device_does_not_pass_for_a_linked_one_or_for_this_one(store: Store, said: str) -> None:
    assert linked_name(store, "laptop", C.device, said).endswith(f"({C.device[:8]})")


def test_a_new_device_is_called_what_it_says(store: Store) -> None:
    assert linked_name(store, "laptop", C.device, " phone\u202e ") == "phone"


def test_a_linked_device_keeps_its_name_whatever_it_says_later(store: Store) -> None:
    assert linked_name(store, "laptop", B.device, "laptop") == "desktop"


def test_a_person_may_choose_another_name(store: Store) -> None:
    assert rename(store, "laptop", LINK, "tower").name == "tower"
    assert rename(store, "laptop", LINK, "Tower").name == "Tower"


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "tow\u200ber", "x" * 201, "Laptop", "lapt0p"])
def test_a_name_that_misleads_is_not_taken(store: Store, name: str) -> None:
    with pytest.raises(UsageError):
        rename(store, "laptop", LINK, name)
