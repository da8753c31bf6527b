# SPDX-License-Identifier: Apache-2.0
"""Who logs in, and where they meant to. Layer: signaling, pure. Specification: docs/specs/signaling.md §3.

The client signs the relay's fresh nonce together with the host that it dialled. A relay takes only labels
that it knows as its own, so that a hostile relay cannot pass a login on to another one: the label would
name the hostile relay. A fresh nonce for each connection makes an old login worthless.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from p2p_handoff.errors import TrustError
from signaling.messages import PROTOCOL_VERSION, Challenge, HostLabel, IdentityKey, Login, Signature, Version
from signaling.wire import deterministic

LOGIN_LABEL: Final = b"p2p-handoff relay-login\x00"
"""Domain separation: the signature is over this label and the login message."""
VERSIONS: Final = (Version(PROTOCOL_VERSION),)


def canonical_host(host: str) -> str:
    """One spelling for a host: lower case, no trailing dot, no zone; IPv4 inside IPv6 as IPv4 (RFC 4291 §2.5.5.2)."""
    bare = host.strip("[]").partition("%")[0].rstrip(".").lower()
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return bare
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def host_label(host: str, port: int) -> HostLabel:
    """What a client that dials a host and port calls the relay: ``192.0.2.7:8787``, ``[2001:db8::1]:8787``."""
    bare = canonical_host(host)
    return HostLabel(f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}")


def is_own_host(label: str, local_host: str, local_port: int, names: Collection[str]) -> bool:
    """Whether a label names this relay.

    Args:
        label: What the client says that it dialled.
        local_host: This end's address of the very connection.
        local_port: This end's port of the very connection.
        names: Further names, lower case: ``relay.example`` fits any port, ``relay.example:443`` only that one.
    """
    own = {host_label(local_host, local_port)}
    if ipaddress.ip_address(canonical_host(local_host)).is_loopback:
        own.add(host_label("localhost", local_port))
    if label in own or label in names:
        return True
    host = label.rpartition(":")[0]
    return canonical_host(host) in {canonical_host(name) for name in names}


def login_message(challenge: Challenge, version: int, host: str, identity_key: bytes) -> bytes:
    """The bytes behind LOGIN_LABEL: deterministic CBOR of everything that both sides must agree on."""
    return deterministic([version, list(challenge.versions), challenge.relay, challenge.nonce, host, identity_key])


def answer(challenge: Challenge, host: HostLabel, identity_key: bytes, sign: Callable[[bytes], bytes]) -> Login | None:
    """The login that answers a challenge, or None if relay and client have no version in common.

    Args:
        challenge: What the relay said first.
        host: ``host_label`` of what was dialled.
        identity_key: Raw Ed25519 public key, 32 bytes.
        sign: Signs LOGIN_LABEL followed by its argument with the identity key.
    """
    common = set(challenge.versions) & set(VERSIONS)
    if not common:
        return None
    version = max(common)
    signature = sign(login_message(challenge, version, host, identity_key))
    return Login(version, IdentityKey(identity_key), host, Signature(signature))


def check_signature(challenge: Challenge, login: Login) -> None:
    """Check that the holder of the identity key answered this very challenge.

    Raises:
        TrustError: The signature is not over this challenge, or the key is not an Ed25519 key.
    """
    message = login_message(challenge, login.version, login.host, login.identity_key)
    try:
        Ed25519PublicKey.from_public_bytes(login.identity_key).verify(login.signature, LOGIN_LABEL + message)
    except (InvalidSignature, ValueError) as error:
        raise TrustError("a login is not signed by the key that it names") from error
