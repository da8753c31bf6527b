# SPDX-License-Identifier: Apache-2.0
"""A real session, its manifest and its grants, for the tests of what statements are worth."""

from __future__ import annotations

from p2p_handoff.content.digests import digest
from p2p_handoff.ids import PartId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.manifest import Manifest, Part, PartType, encode_manifest
from p2p_handoff.session.signed import SignedStatement, encode_signed
from tests.session.ownership_world import NONCE, chain_of, device, session_id, txn_id

A, B, C = device(1), device(2), device(3)
TXN = txn_id(7)
SESSION = session_id()
P1 = PartId("p1")
CHAIN: Chain = chain_of(1)


def manifest_of(content: bytes = b"now") -> Manifest:
    part = Part(P1, PartType.FILES, "folder", "notes", digest(content), len(content), len(content), 1)
    return Manifest(SESSION, "Notes", (part,))


MANIFEST = encode_manifest(manifest_of())


def signed_grant(
    source: Identity = A,
    target: Identity = B,
    *,
    txn: TxnId = TXN,
    chain: Chain = CHAIN,
    nonce: bytes = NONCE,
    root: bytes = MANIFEST,
) -> SignedStatement:
    offer = chains.Offer(txn, target.public.identity_key, digest(root), (P1,), nonce)
    return chains.grant(source, chains.verify_chain(chain), offer)


def grant_message(signed: SignedStatement, *, txn: TxnId = TXN, manifest: bytes = MANIFEST) -> msg.Grant:
    return msg.Grant(txn, SESSION, encode_signed(signed), manifest, 0)


def query(signed: SignedStatement, *, txn: TxnId = TXN) -> msg.Query:
    return msg.Query(txn, SESSION, encode_signed(signed))
