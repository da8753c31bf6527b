# SPDX-License-Identifier: Apache-2.0
"""Sessions and handoffs between stores, for the tests of the store."""

from __future__ import annotations

from pathlib import Path

from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain, decode_chain
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.signed import SignedStatement, read
from p2p_handoff.session.statements import Grant, RefusalReason
from p2p_handoff.store.records import Acceptance, NewSession, PartBinding, PendingCommit
from p2p_handoff.store.store import Store
from tests.session.ownership_world import NONCE, ROOT, device, grant, session_id, txn_id

MANIFEST = b"manifest"
SESSION = session_id()
P1 = PartId("p1")


def binding(session: SessionId = SESSION, path: str | None = "/home/ada/notes") -> PartBinding:
    return PartBinding(session, P1, PartType.FILES, "folder", "notes", None if path is None else Path(path))


def new_session(owner: Identity, number: int = 1) -> NewSession:
    session = session_id(number)
    return NewSession("Notes", 100.0, MANIFEST, chains.create(owner, session, ROOT), (binding(session),))


def known_chain(store: Store, session: SessionId = SESSION) -> Chain:
    record = store.sessions.get(session)
    assert record is not None
    return decode_chain(record.chain)


def freeze(store: Store, txn: int, source: Identity, target: Identity) -> SignedStatement:
    signed = grant(known_chain(store), txn, source, target)
    store.outgoing.freeze(signed, MANIFEST)
    return signed


def acceptance(chain: Chain, signed: SignedStatement, target: Identity) -> Acceptance:
    content = read(signed, Grant)
    commit = PendingCommit(content.txn, content.session, P1, Path("/staging"), Path("/state"), "folder")
    whole = (*chain, signed, chains.accept(target, signed))
    return Acceptance("Notes", 200.0, MANIFEST, whole, NONCE, (binding(path="/srv/notes"),), (commit,))


def refusal(txn: int, source: Identity, target: Identity) -> SignedStatement:
    return chains.refuse(target, SESSION, txn_id(txn), source.device, RefusalReason.UNKNOWN)


def refuse(store: Store, txn: int, source: Identity, target: Identity) -> SignedStatement:
    signed = refusal(txn, source, target)
    store.incoming.refuse(signed, target.public.identity_key)
    return signed


A, B, C = device(1), device(2), device(3)
