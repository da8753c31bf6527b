# SPDX-License-Identifier: Apache-2.0
"""A device's keys: kept, pinned, and never mistaken for another's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spake2.ed25519_basic import (
    decodepoint,
    encodepoint,
    is_extended_zero,
    scalarmult_element_safe_slow,
    xform_affine_to_extended,
    xform_extended_to_affine,
)

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import HandoffError, LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.ids import device_id
from p2p_handoff.security.identity import _SMALL_ORDER, Identity, PublicIdentity

ALICE = Identity.generate()
BOB = Identity.generate()


def test_an_identity_survives_being_stored() -> None:
    restored = Identity.from_bytes(ALICE.to_bytes())
    assert restored.public == ALICE.public
    assert restored.to_bytes() == ALICE.to_bytes()


def test_the_device_id_follows_from_the_identity_key() -> None:
    assert ALICE.device == ALICE.public.device == device_id(ALICE.public.identity_key)
    assert ALICE.device != BOB.device


def test_a_public_identity_survives_the_wire_and_checks_out() -> None:
    received = PublicIdentity.from_bytes(ALICE.public.to_bytes())
    assert received == ALICE.public
    received.check()


def test_a_signature_verifies_for_its_message_purpose_and_signer_only() -> None:
    signature = ALICE.sign(b"grant", b"message")
    ALICE.public.verify(b"grant", signature, b"message")
    for public, context, message in (
        (ALICE.public, b"grant", b"massage"),
        (ALICE.public, b"accept", b"message"),
        (BOB.public, b"grant", b"message"),
    ):
        with pytest.raises(TrustError):
            public.verify(context, signature, message)


@given(st.binary(max_size=70))
def test_bytes_that_are_no_signature_are_refused(signature: bytes) -> None:
    with pytest.raises(TrustError):
        ALICE.public.verify(b"grant", signature, b"message")


def test_a_purpose_cannot_run_into_the_message() -> None:
    for context in (b"", b"grant\0"):
        with pytest.raises(LocalProtocolError):
            ALICE.sign(context, b"message")


def test_an_encryption_key_of_another_device_is_found_out() -> None:
    with pytest.raises(TrustError):
        replace(ALICE.public, kem_key=BOB.public.kem_key).check()
    with pytest.raises(TrustError):
        replace(ALICE.public, kem_key=BOB.public.kem_key, kem_signature=BOB.public.kem_signature).check()


def test_a_signed_encryption_key_that_is_no_key_is_found_out() -> None:
    """Every coefficient above the modulus: FIPS 203 §7.2 asks the receiver to look."""
    hostile = b"\xff" * len(ALICE.public.kem_key)
    with pytest.raises(TrustError, match="malformed"):
        replace(ALICE.public, kem_key=hostile, kem_signature=ALICE.sign(b"kem-key", hostile)).check()


def test_an_identity_key_that_is_no_key_signs_nothing() -> None:
    for key in (b"", b"short", bytes(33)):
        with pytest.raises(TrustError):
            replace(ALICE.public, identity_key=key).check()


def test_identity_keys_that_anybody_can_sign_for_are_refused() -> None:
    for encoding in _SMALL_ORDER:
        for sign in (0, 0x80):
            key = encoding[:-1] + bytes((encoding[-1] | sign,))
            with pytest.raises(TrustError, match="degenerate"):
                replace(ALICE.public, identity_key=key).check()


def test_the_degenerate_keys_are_exactly_the_points_whose_order_divides_eight() -> None:
    points = [xform_affine_to_extended(decodepoint(encoding)) for encoding in _SMALL_ORDER]
    assert all(is_extended_zero(scalarmult_element_safe_slow(point, 8)) for point in points)
    canonical = {encodepoint(xform_extended_to_affine(point))[:31] for point in points}
    assert len(canonical) == 5, "y = 0, 1, -1 and the two of order eight; signs make them eight points"


@pytest.mark.parametrize("position", range(4))
def test_a_public_identity_with_a_wrong_field_is_malformed(position: int) -> None:
    fields: list[object] = [
        1,
        ALICE.public.identity_key,
        ALICE.public.kem_key,
        ALICE.public.kem_signature,
    ]
    fields[position] = 2 if position == 0 else b"short"
    with pytest.raises(RemoteProtocolError):
        PublicIdentity.from_bytes(strict_cbor.encode(fields))


@given(st.integers(0, len(ALICE.public.to_bytes()) - 1), st.integers(1, 255))
def test_no_flipped_bit_passes_as_the_same_device(position: int, flip: int) -> None:
    data = bytearray(ALICE.public.to_bytes())
    data[position] ^= flip
    with pytest.raises(HandoffError):
        PublicIdentity.from_bytes(bytes(data)).check()


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff", ALICE.public.to_bytes(), ALICE.to_bytes()[:-1]])
def test_damaged_stored_keys_are_named_as_such(data: bytes) -> None:
    with pytest.raises(TrustError, match="stored keys are damaged"):
        Identity.from_bytes(data)


def test_true_does_not_pass_as_version_one() -> None:
    public = ALICE.public
    data = strict_cbor.encode([True, public.identity_key, public.kem_key, public.kem_signature])
    with pytest.raises(RemoteProtocolError):
        PublicIdentity.from_bytes(data)


def test_secrets_do_not_show_when_an_identity_is_printed() -> None:
    assert ALICE.to_bytes()[5:37].hex() not in repr(ALICE)
    assert "object at" in repr(ALICE)
