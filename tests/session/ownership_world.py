# SPDX-License-Identifier: Apache-2.0
"""Devices with fixed keys, and chains made with them, for the tests of ownership and of the store."""

from __future__ import annotations

import random
from functools import cache
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from p2p_handoff.content.digests import digest
from p2p_handoff.ids import PartId, SessionId, TxnId, new_session_id, new_txn_id
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain, Offer
from p2p_handoff.session.signed import SignedStatement

ROOT = digest(b"manifest")
NONCE = b"n" * 16


@cache
def device(number: int) -> Identity:
    """The same device at every call."""
    return Identity(
        Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32),
        MLKEM768PrivateKey.from_seed_bytes(bytes([number]) * 64),
        X25519PrivateKey.from_private_bytes(bytes([number]) * 32),
    )


def session_id(number: int = 1) -> SessionId:
    return new_session_id(random.Random(number).randbytes)


def txn_id(number: int) -> TxnId:
    return new_txn_id(random.Random(1000 + number).randbytes)


def offer(txn: int, target: Identity, *, root: bytes = b"manifest") -> Offer:
    return Offer(txn_id(txn), target.public.identity_key, digest(root), (PartId("p1"),), NONCE)


def grant(chain: Chain, txn: int, source: Identity, target: Identity) -> SignedStatement:
    return chains.grant(source, chains.verify_chain(chain), offer(txn, target))


def handed(chain: Chain, txn: int, source: Identity, target: Identity) -> Chain:
    """The chain after one more handoff."""
    signed = grant(chain, txn, source, target)
    return (*chain, signed, chains.accept(target, signed))


def chain_of(*owners: int) -> Chain:
    """A session that went through these devices in order."""
    chain = chains.create(device(owners[0]), session_id(), ROOT)
    for index, (source, target) in enumerate(pairwise(owners)):
        chain = handed(chain, index, device(source), device(target))
    return chain
