# SPDX-License-Identifier: Apache-2.0
"""session.signed: only the device that may say something can have said it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.signed import decode_signed, encode_signed, link_digest, sign, verify
from p2p_handoff.session.statements import Accepted, Genesis, RefusalReason, Refused
from tests.session.ownership_world import ROOT, device, session_id, txn_id

REFUSED = Refused(session_id(), txn_id(0), device(1).device, device(2).device, RefusalReason.CANCELLED)
SIGNED = chains.refuse(device(2), session_id(), txn_id(0), device(1).device, RefusalReason.CANCELLED)
KEY = device(2).public.identity_key


def test_a_signed_statement_verifies_and_decodes() -> None:
    assert verify(SIGNED, KEY, Refused) == REFUSED


def test_a_device_signs_only_for_itself() -> None:
    with pytest.raises(TrustError, match="cannot sign"):
        sign(device(1), REFUSED)


def test_another_devices_key_does_not_verify() -> None:
    with pytest.raises(TrustError, match="not the one"):
        verify(SIGNED, device(1).public.identity_key, Refused)


def test_a_statement_is_not_taken_for_another_kind() -> None:
    with pytest.raises(RemoteProtocolError, match="expected Accepted, got Refused"):
        verify(SIGNED, KEY, Accepted)


@pytest.mark.parametrize("position", range(64))
def test_every_byte_of_a_signature_counts(position: int) -> None:
    broken = bytearray(SIGNED.signature)
    broken[position] ^= 1
    with pytest.raises(TrustError):
        verify(replace(SIGNED, signature=bytes(broken)), KEY, Refused)


def test_a_signature_made_for_another_purpose_does_not_verify() -> None:
    borrowed = device(2).sign(b"another purpose", SIGNED.body)
    with pytest.raises(TrustError):
        verify(replace(SIGNED, signature=borrowed), KEY, Refused)


def test_the_digest_of_a_link_covers_body_and_signature() -> None:
    other = sign(device(1), Genesis(session_id(), device(1).device, device(1).public.identity_key, ROOT))
    digests = {
        link_digest(SIGNED),
        link_digest(replace(SIGNED, signature=other.signature)),
        link_digest(replace(SIGNED, body=other.body)),
    }
    assert len(digests) == 3


def test_a_signed_statement_survives_encoding() -> None:
    assert decode_signed(encode_signed(SIGNED)) == SIGNED


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x82\x01\x02", b"\x82\x40\x41\x00", encode_signed(SIGNED) + b"\0"])
def test_other_bytes_are_no_signed_statement(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_signed(raw)
