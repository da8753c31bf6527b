# SPDX-License-Identifier: Apache-2.0
"""Who and what takes part in an exploration: devices with fixed keys, txns by number, manifests by version.

Signatures are real. Ed25519 is deterministic, so that signing and verifying the same bytes again is looked up.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.security import identity as identities
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.manifest import Manifest, Part, PartType, decode_manifest, encode_manifest
from tests.session.ownership_world import device, session_id, txn_id

NAMES: Final = "ABC"
PARTS: Final = (PartId("p1"), PartId("p2"))
ORIGINAL: Final = session_id(1)
FORK: Final = session_id(2)
COUNTER: Final = 1
"""What stands for every store counter: homes are not restored here."""
SESSIONS: Final = (ORIGINAL, FORK)


@cache
def identity(number: int) -> Identity:
    """The identity of a device by its place: 0 is A."""
    return device(number + 1)


@cache
def device_id(number: int) -> DeviceId:
    """Its id."""
    return identity(number).device


@cache
def key(number: int) -> bytes:
    """Its raw Ed25519 public key."""
    return identity(number).public.identity_key


@cache
def numbers() -> dict[DeviceId, int]:
    """The place of every device."""
    return {device_id(number): number for number in range(len(NAMES))}


@cache
def txn(number: int) -> TxnId:
    """The txn of that number, from 1 on."""
    return txn_id(number)


@cache
def txn_numbers() -> dict[TxnId, int]:
    """The number of every txn."""
    return {txn(number): number for number in range(1, 20)}


@cache
def nonce(owner: int, number: int) -> bytes:
    """No nonce comes twice, as with 16 random bytes."""
    return bytes([owner + 1]) * 8 + number.to_bytes(8, "big")


@cache
def genesis(parts: int) -> Chain:
    """The chain of the session as it starts on A."""
    return chains.create(identity(0), ORIGINAL, digest(manifest(ORIGINAL, ((0, None),) * parts)))


@cache
def manifest(session: SessionId, copies: tuple[tuple[int, int | None], ...]) -> bytes:
    """The encoded manifest of parts with these versions, each with the device that holds it if that is another one."""
    return encode_manifest(
        Manifest(
            session,
            "notes",
            tuple(
                Part(
                    name,
                    PartType.FILES,
                    "folder",
                    name,
                    _root(name, version),
                    8,
                    version,
                    1,
                    None if holder is None else device_id(holder),
                )
                for name, (version, holder) in zip(PARTS, copies, strict=False)
            ),
        )
    )


@cache
def read_manifest(data: bytes) -> Manifest:
    """The same, decoded."""
    return decode_manifest(data)


@cache
def _root(name: PartId, version: int) -> Digest:
    return digest(f"{name}@{version}".encode())


def remember_signatures() -> None:
    """Sign and verify each statement once; call it before anything is explored."""
    if not hasattr(identities.Identity.sign, "cache_info"):
        identities.Identity.sign = cache(identities.Identity.sign)  # type: ignore[method-assign]  # deterministic
        identities.PublicIdentity.verify = cache(identities.PublicIdentity.verify)  # type: ignore[method-assign]  # too
