# SPDX-License-Identifier: Apache-2.0
"""Made homes are homes: private, with the keys of the name and the links that were asked for."""

from __future__ import annotations

from pathlib import Path

from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store import home as homes
from p2p_handoff.store import keys
from p2p_handoff.store.store import open_store
from p2p_handoff.testing.homes import identity, make_home


def test_a_made_home_is_one_that_an_agent_would_use(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "laptop", (("desktop", LinkKind.OWN), ("phone", LinkKind.OTHER)))
    assert homes.prepare(home.path) == home
    found = keys.load(home.identity)
    assert found is not None
    stored = Identity.from_bytes(found)
    assert stored.device == identity("laptop").device
    with open_store(home.database, stored.device) as store:
        linked = {link.name: (link.device, link.kind) for link in store.links.all()}
    assert linked == {
        "desktop": (identity("desktop").device, LinkKind.OWN),
        "phone": (identity("phone").device, LinkKind.OTHER),
    }


def test_names_have_keys_of_their_own_and_always_the_same() -> None:
    assert identity("laptop").device != identity("desktop").device
    assert identity.__wrapped__("laptop").device == identity("laptop").device
