# SPDX-License-Identifier: Apache-2.0
"""session.links: how a stored chain begins is known without the rest; whole_links is tested by test_audit.py."""

from __future__ import annotations

import pytest

from p2p_handoff.errors import TrustError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.links import genesis_of, whole_links
from p2p_handoff.session.statements import Parent
from tests.session.ownership_world import ROOT, chain_of, device, session_id

CHAIN = chain_of(1, 2, 1)
DATA = chains.encode_chain(CHAIN)


def test_the_genesis_is_read_whatever_follows_it() -> None:
    assert genesis_of(DATA).primary == device(1).device
    assert genesis_of(DATA[:-1]) == genesis_of(DATA)
    parent = Parent(session_id(), 3, ROOT)
    fork = chains.encode_chain(chains.create(device(1), session_id(2), ROOT, parent))
    assert genesis_of(fork).parent == parent


@pytest.mark.parametrize("data", [b"", b"hello", DATA[:40], chains.encode_chain(CHAIN[1:]), b"\x81\xa0"])
def test_what_does_not_begin_with_a_genesis_is_refused(data: bytes) -> None:
    with pytest.raises(TrustError):
        genesis_of(data)


def test_all_links_of_a_whole_chain_are_read() -> None:
    assert whole_links(DATA) == (list(CHAIN), "")
