# SPDX-License-Identifier: Apache-2.0
"""A device's long-lived keys, secret and public. Layer: security, pure. Specification: docs/specs/sealing.md §1.

An identity is an Ed25519 key that signs and a hybrid MLKEM768_X25519 key that envelopes are sealed to. The
first signs the second, so that whoever pins the identity key can check the other. Every signature names what
it is for: no message signed for one purpose verifies for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.ids import DeviceId, device_id

ED25519_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
X25519_KEY_BYTES: Final = 32
MLKEM_SEED_BYTES: Final = 64
MLKEM_KEY_BYTES: Final = 1184
"""ML-KEM-768 encapsulation key (FIPS 203 §8)."""
KEM_KEY_BYTES: Final = MLKEM_KEY_BYTES + X25519_KEY_BYTES

_SIGNING_DOMAIN: Final = b"p2p-handoff "
_KEM_KEY_CONTEXT: Final = b"kem-key"
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(encoding)
    for encoding in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""Encodings, without the sign bit, of the eight points whose order divides 8: under such a key anybody can sign."""
_PAIR_KEY_BYTES: Final = 32
_VERSION: Final = 1
_MAX_ENCODED: Final = 2048
"""Bytes of an encoded identity, secret or public: the larger one takes 1,371."""


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """What others know of a device, and pin when they link with it.

    Args:
        identity_key: Raw Ed25519 public key, 32 bytes.
        kem_key: ML-KEM-768 encapsulation key and X25519 public key, 1,184 + 32 bytes.
        kem_signature: The identity key's signature over ``kem_key``, 64 bytes.
    """

    identity_key: bytes
    kem_key: bytes
    kem_signature: bytes

    @property
    def device(self) -> DeviceId:
        """The id that follows from the identity key."""
        return device_id(self.identity_key)

    def verify(self, context: bytes, signature: bytes, message: bytes) -> None:
        """Check a signature that ``Identity.sign`` made.

        Args:
            context: What the signature is for, as given to ``sign``.
            signature: 64 bytes.
            message: What was signed.

        Raises:
            TrustError: This device did not sign that message for that purpose.
        """
        try:
            key = Ed25519PublicKey.from_public_bytes(self.identity_key)
            key.verify(signature, _signed(context, message))
        except (InvalidSignature, ValueError):
            raise TrustError("a signature does not belong to the device that it names") from None

    def check(self) -> None:
        """Check that the keys are sound and that the KEM key belongs to the identity key.

        Raises:
            TrustError: It does not, a key is malformed, or the identity key is one that anybody can sign for.
        """
        if self.identity_key[:31] + bytes(byte & 0x7F for byte in self.identity_key[31:]) in _SMALL_ORDER:
            raise TrustError("a device's identity key is degenerate")
        self.verify(_KEM_KEY_CONTEXT, self.kem_signature, self.kem_key)
        self.kem_public_key()

    def kem_public_key(self) -> MLKEM768X25519PublicKey:
        """The key that envelopes to this device are sealed to.

        Raises:
            TrustError: The bytes are no such key.
        """
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(self.kem_key[:MLKEM_KEY_BYTES])
            x25519 = X25519PublicKey.from_public_bytes(self.kem_key[MLKEM_KEY_BYTES:])
        except ValueError:
            raise TrustError("a device's encryption key is malformed") from None
        return MLKEM768X25519PublicKey(mlkem, x25519)

    def to_bytes(self) -> bytes:
        """Strict CBOR, for the wire and the store."""
        return strict_cbor.encode([_VERSION, self.identity_key, self.kem_key, self.kem_signature])

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicIdentity:
        """Read what ``to_bytes`` wrote. Next: ``check()``, unless the bytes come from this device's own store.

        Raises:
            RemoteProtocolError: The bytes are not a public identity.
        """
        match strict_cbor.decode(data, limit=_MAX_ENCODED):
            case [int(version), bytes(identity_key), bytes(kem_key), bytes(kem_signature)] if (
                type(version) is int
                and version == _VERSION
                and len(identity_key) == ED25519_KEY_BYTES
                and len(kem_key) == KEM_KEY_BYTES
                and len(kem_signature) == SIGNATURE_BYTES
            ):
                return cls(identity_key, kem_key, kem_signature)
        raise RemoteProtocolError("a device's public identity is malformed")


class Identity:
    """A device's own keys. Never printed, never sent.

    Args:
        signing_key: The Ed25519 key whose public half is the device.
        mlkem_key: Post-quantum half of the KEM key.
        x25519_key: Classical half of the KEM key.
    """

    __slots__ = ("_mlkem_key", "_signing_key", "_x25519_key", "kem_private_key", "public")

    def __init__(
        self, signing_key: Ed25519PrivateKey, mlkem_key: MLKEM768PrivateKey, x25519_key: X25519PrivateKey
    ) -> None:
        self._signing_key = signing_key
        self._mlkem_key = mlkem_key
        self._x25519_key = x25519_key
        self.kem_private_key = MLKEM768X25519PrivateKey(mlkem_key, x25519_key)
        kem_key = mlkem_key.public_key().public_bytes_raw() + x25519_key.public_key().public_bytes_raw()
        self.public = PublicIdentity(
            identity_key=signing_key.public_key().public_bytes_raw(),
            kem_key=kem_key,
            kem_signature=self.sign(_KEM_KEY_CONTEXT, kem_key),
        )

    @classmethod
    def generate(cls) -> Identity:
        """A new device."""
        return cls(Ed25519PrivateKey.generate(), MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())

    @property
    def device(self) -> DeviceId:
        """This device's id."""
        return self.public.device

    def sign(self, context: bytes, message: bytes) -> bytes:
        """Sign a message for one purpose (RFC 8032).

        Args:
            context: What the signature is for: a short label without a NUL byte, one per purpose.
            message: What is signed.

        Returns:
            64 bytes: the signature over ``"p2p-handoff " context 0x00 message``.

        Raises:
            LocalProtocolError: The context is empty or contains a NUL byte.
        """
        return self._signing_key.sign(_signed(context, message))

    def agree(self, peer: PublicIdentity, use: bytes) -> bytes:
        """A key that only this device and another one can compute, for one use; the same at both.

        Args:
            peer: The other device.
            use: What the key is for: a short label without a NUL byte, one per use.

        Returns:
            32 bytes.

        Raises:
            TrustError: The other device's key is degenerate: anybody could compute the result.
        """
        try:
            theirs = X25519PublicKey.from_public_bytes(peer.kem_key[MLKEM_KEY_BYTES:])
            secret = self._x25519_key.exchange(theirs)
        except ValueError:
            raise TrustError("a device's encryption key is degenerate") from None
        pair = "".join(sorted((self.device, peer.device))).encode("ascii")
        info = b"p2p-handoff pair v1 " + use + b"\0" + pair
        return HKDF(SHA256(), _PAIR_KEY_BYTES, salt=None, info=info).derive(secret)

    def to_bytes(self) -> bytes:
        """The secret keys, for the store: 32 bytes of Ed25519 seed, 64 of ML-KEM seed, 32 of X25519 scalar."""
        return strict_cbor.encode(
            [
                _VERSION,
                self._signing_key.private_bytes_raw(),
                self._mlkem_key.private_bytes_raw(),
                self._x25519_key.private_bytes_raw(),
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Identity:
        """Read what ``to_bytes`` wrote.

        Raises:
            TrustError: The bytes are not a stored identity.
        """
        try:
            value = strict_cbor.decode(data, limit=_MAX_ENCODED)
        except RemoteProtocolError:
            value = None
        match value:
            case [int(version), bytes(ed25519), bytes(mlkem), bytes(x25519)] if (
                type(version) is int
                and version == _VERSION
                and len(ed25519) == ED25519_KEY_BYTES
                and len(mlkem) == MLKEM_SEED_BYTES
                and len(x25519) == X25519_KEY_BYTES
            ):
                return cls(
                    Ed25519PrivateKey.from_private_bytes(ed25519),
                    MLKEM768PrivateKey.from_seed_bytes(mlkem),
                    X25519PrivateKey.from_private_bytes(x25519),
                )
        raise TrustError("this device's stored keys are damaged", advice="restore them from a backup")


def _signed(context: bytes, message: bytes) -> bytes:
    if not context or b"\0" in context:
        raise LocalProtocolError(f"{context!r} is not a signature context")
    return _SIGNING_DOMAIN + context + b"\0" + message
