# SPDX-License-Identifier: Apache-2.0
"""Sessions that were handed off many times before a test begins."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from p2p_handoff.agent.agent import Agent
from p2p_handoff.content.digests import digest
from p2p_handoff.ids import PartId, SessionId, new_txn_id
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.signed import link_digest

HANDOFFS = 40
"""More than are verified where they arrive."""


def handed_about(session: SessionId, owner: Identity, other: Identity, handoffs: int = HANDOFFS) -> Chain:
    """The chain of a session that went to and fro between two devices, an even number of times."""
    root = digest(b"manifest")
    links = list(chains.create(owner, session, root))
    state = chains.verify_chain(links)
    near, far = owner, other
    for _ in range(handoffs):
        offer = chains.Offer(new_txn_id(os.urandom), far.public.identity_key, root, (PartId("p1"),), os.urandom(16))
        granted = chains.grant(near, state, offer)
        links += [granted, chains.accept(far, granted)]
        # As chains.extend, without a check of what has just been signed.
        head, key = link_digest(links[-1]), far.public.identity_key
        state = replace(state, primary=far.device, primary_key=key, epoch=state.epoch + 1, head=head)
        near, far = far, near
    return tuple(links)


async def started_long_ago(agent: Agent, folder: Path, other: Identity, handoffs: int = HANDOFFS) -> SessionId:
    """A session of an agent with so many handoffs behind it, as its database would hold it."""
    record = await agent.start([folder])
    chain = handed_about(record.id, agent.identity, other, handoffs)
    put_chain(agent, record.id, chain)
    return record.id


def put_chain(agent: Agent, session: SessionId, chain: Chain) -> None:
    """Change the stored chain behind the agent's back."""
    with sqlite3.connect(agent.home.database) as database:
        database.execute(
            "UPDATE sessions SET chain = ?, epoch = ? WHERE id = ?",
            (chains.encode_chain(chain), 1 + len(chain) // 2, session),
        )
    database.close()
