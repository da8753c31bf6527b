# SPDX-License-Identifier: Apache-2.0
"""agent.long_chains: many signatures are never verified on the event loop, and none of them twice in one handoff."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from p2p_handoff.ids import new_session_id, new_txn_id
from p2p_handoff.limits import PROVE_AT_ONCE
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import ChainState
from p2p_handoff.session.signed import SignedStatement
from tests.agent.devices import Devices, Pair, fill, heard_by, meet, until
from tests.agent.long_histories import HANDOFFS, handed_about, started_long_ago


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), {"main.py": b"print('hello')\n"})


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """For each verification of more than one handoff: whether it was on the event loop, and of how many handoffs."""
    seen: list[tuple[bool, int]] = []
    verify = chains.verify_chain

    def watched(chain: Sequence[SignedStatement], proven: ChainState | None = None) -> ChainState:
        handoffs = len(chain) // 2 - (0 if proven is None else len(proven.accepted))
        if handoffs > 1:
            seen.append((threading.current_thread() is threading.main_thread(), handoffs))
        return verify(chain, proven)

    monkeypatch.setattr(chains, "verify_chain", watched)
    return seen


async def test_a_long_history_is_handed_over_and_back_without_work_on_the_event_loop(
    two_agents: Pair, folder: Path, verified: list[tuple[bool, int]]
) -> None:
    laptop, desktop = two_agents
    session = await started_long_ago(laptop, folder, Identity.generate())
    record = laptop.store.sessions.get(session)
    assert record is not None
    assert len(record.chain) > PROVE_AT_ONCE
    assert (await laptop.to("desktop", folder)).outcome == "done"
    assert verified
    assert not [handoffs for on_loop, handoffs in verified if on_loop]
    verified.clear()
    assert (await desktop.to("laptop")).outcome == "done"
    assert laptop.sessions()[0].ownership.epoch == HANDOFFS + 3
    assert verified == []  # Both devices have verified all but the last handoff before.


async def test_the_source_does_not_wait_frozen_for_a_history_to_be_verified(
    two_agents: Pair, folder: Path, verified: list[tuple[bool, int]]
) -> None:
    laptop, desktop = two_agents
    await started_long_ago(laptop, folder, Identity.generate())
    before: list[int] = []
    laptop.on("frozen", lambda _fields: before.append(len(verified)))
    assert (await laptop.to("desktop", folder)).outcome == "done"
    assert before == [len(verified)]
    assert desktop.sessions()[0].ownership.role.value == "primary"


async def test_a_long_history_with_one_bad_signature_is_refused(two_agents: Pair) -> None:
    laptop, desktop = two_agents
    wire = await meet(laptop, desktop)
    answers = heard_by(laptop, msg.Reject)
    session = new_session_id(os.urandom)
    good = handed_about(session, laptop.identity, Identity.generate())
    bad = (*good[:-1], SignedStatement(good[-1].body, bytes(64)))
    init = msg.Init(
        new_txn_id(os.urandom),
        session,
        laptop.device,
        desktop.device,
        msg.Mode.MOVE,
        HANDOFFS + 1,
        chains.encode_chain(bad),
        take=False,
    )
    wire.send(init)
    await until(lambda: bool(answers))
    assert answers[0].reason is msg.RejectReason.UNTRUSTED
    assert f"link {2 * HANDOFFS}" in answers[0].text
    assert not desktop.sessions()
