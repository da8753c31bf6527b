# SPDX-License-Identifier: Apache-2.0
"""What a source may say of objects; that they are fetched is in the tests of whole handoffs."""

from __future__ import annotations

from p2p_handoff.agent.fetching import Fetcher
from p2p_handoff.ids import PartId
from p2p_handoff.protocol.messages import Gone
from tests.protocol.grants import TXN


def test_what_was_not_asked_for_cannot_be_gone() -> None:
    fetcher = Fetcher(TXN, lambda: None)
    fetcher.gone_received(Gone(TXN, PartId("p1"), (bytes(32),) * 8192))
    assert fetcher._arrived.empty(), "a source could fill the memory with it"
