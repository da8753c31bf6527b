# SPDX-License-Identifier: Apache-2.0
"""An envelope opens for its recipient, from a linked sender, once, unaltered; otherwise not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LocalProtocolError, SealError, TrustError, VersionError
from p2p_handoff.ids import DeviceId, TxnId
from p2p_handoff.limits import MAX_ENVELOPE
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.sealing import Envelope, EnvelopeKind, SeenEnvelopes, open_envelope, seal

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "seal.json").read_text())
ALICE, BOB, EVE = (Identity.generate() for _ in range(3))
TXN = TxnId("a" * 26)
OTHER_TXN = TxnId("b" * 26)
SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def known(device: DeviceId) -> PublicIdentity | None:
    return {ALICE.device: ALICE.public, BOB.device: BOB.public}.get(device)


def letter(body: bytes = b"body", kind: EnvelopeKind = EnvelopeKind.OFFER) -> bytes:
    return seal(ALICE, BOB.public, TXN, 3, kind, body)


def sealed_to_bob(content: bytes, recipient: str = BOB.device) -> bytes:
    """What anyone who knows Bob's public key can make, without the care that ``seal`` takes."""
    plain = (len(content).to_bytes(4, "big") + content).ljust(8192, b"\0")
    info = strict_cbor.encode(["p2p-handoff envelope", 1, recipient])
    return b"\1" + SUITE.encrypt(plain, BOB.public.kem_public_key(), info=info)


def signed_by(signer: Identity, *, recipient: str = BOB.device, changes: Mapping[str, object] | None = None) -> bytes:
    """The content of an envelope; ``changes`` are made after signing."""
    fields: dict[str, object] = {"sender": signer.device, "txn": TXN, "counter": 3, "kind": "offer", "body": b"body"}
    signed = [1, fields["sender"], recipient, *list(fields.values())[1:]]
    fields["signature"] = signer.sign(b"envelope", strict_cbor.encode(signed))
    return strict_cbor.encode(list({**fields, **(changes or {})}.values()))


@pytest.mark.parametrize("kind", EnvelopeKind)
def test_an_envelope_opens_for_its_recipient(kind: EnvelopeKind) -> None:
    data = letter(b"hello", kind)
    assert open_envelope(BOB, known, data) == Envelope(ALICE.device, TXN, 3, kind, b"hello", data)


def test_what_a_linked_sender_writes_by_hand_opens_too() -> None:
    """Guards the hostile tests below: they fail for what was changed, not for how it was made."""
    assert open_envelope(BOB, known, sealed_to_bob(signed_by(ALICE))).body == b"body"


def test_an_envelope_shows_neither_sender_nor_kind_nor_length() -> None:
    offer, refusal = letter(b"o" * 5000), letter(b"", EnvelopeKind.REFUSAL)
    assert len(offer) == len(refusal)
    for secret in (ALICE.device, BOB.device, TXN, "offer"):
        assert secret.encode() not in offer
    assert letter() != letter()


@settings(max_examples=60)
@given(st.one_of(st.integers(0, 2000), st.integers(0, len(letter()) - 1)), st.integers(1, 255))
def test_no_altered_byte_goes_unnoticed(position: int, flip: int) -> None:
    data = bytearray(letter())
    data[position] ^= flip
    wrong, words = (VersionError, "this device speaks version 1") if position == 0 else (SealError, "does not open")
    with pytest.raises(wrong, match=words):
        open_envelope(BOB, known, bytes(data))


@given(st.integers(0, len(letter()) - 1))
def test_a_truncated_envelope_does_not_open(length: int) -> None:
    with pytest.raises(SealError):
        open_envelope(BOB, known, letter()[:length])


@pytest.mark.parametrize("data", [letter() + b"\0", b"\1" + bytes(MAX_ENVELOPE), b"\1" + bytes(2000), b""])
def test_extended_oversized_and_unknown_envelopes_do_not_open(data: bytes) -> None:
    with pytest.raises(SealError):
        open_envelope(BOB, known, data)


def test_an_envelope_of_another_version_is_told_from_one_that_does_not_open() -> None:
    with pytest.raises(VersionError, match="of version 2 and this device speaks version 1"):
        open_envelope(BOB, known, b"\2" + letter()[1:])


def test_an_envelope_opens_for_nobody_else() -> None:
    for other in (ALICE, EVE):
        with pytest.raises(SealError):
            open_envelope(other, known, letter())


def test_an_unlinked_sender_is_named_as_such() -> None:
    with pytest.raises(TrustError, match="not linked"):
        open_envelope(BOB, known, seal(EVE, BOB.public, TXN, 0, EnvelopeKind.OFFER, b""))


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": BOB.device},
        {"txn": OTHER_TXN},
        {"counter": 4},
        {"kind": "answer"},
        {"body": b"bogus"},
        {"signature": bytes(64)},
    ],
)
def test_nothing_that_was_signed_can_be_changed(changes: dict[str, object]) -> None:
    with pytest.raises(SealError):
        open_envelope(BOB, known, sealed_to_bob(signed_by(ALICE, changes=changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "x"},
        {"txn": "../x"},
        {"counter": -1},
        {"counter": True},
        {"kind": "bribe"},
        {"body": "text"},
        {"signature": b""},
    ],
)
def test_malformed_fields_do_not_open(changes: dict[str, object]) -> None:
    with pytest.raises(SealError):
        open_envelope(BOB, known, sealed_to_bob(signed_by(ALICE, changes=changes)))


def test_a_recipient_cannot_pass_an_envelope_on_as_meant_for_another() -> None:
    """Eve received Alice's signed words, and seals them to Bob."""
    with pytest.raises(SealError):
        open_envelope(BOB, known, sealed_to_bob(signed_by(ALICE, recipient=EVE.device)))
    to_eve = seal(ALICE, EVE.public, TXN, 3, EnvelopeKind.OFFER, b"body")
    info = strict_cbor.encode(["p2p-handoff envelope", 1, EVE.device])
    opened = SUITE.decrypt(to_eve[1:], EVE.kem_private_key, info=info)
    content = opened[4 : 4 + int.from_bytes(opened[:4], "big")]
    with pytest.raises(SealError):
        open_envelope(BOB, known, sealed_to_bob(content))


def test_an_envelope_sealed_under_another_recipients_name_does_not_open() -> None:
    with pytest.raises(SealError):
        open_envelope(BOB, known, sealed_to_bob(signed_by(ALICE), recipient=EVE.device))


def test_somebody_elses_signature_does_not_pass() -> None:
    with pytest.raises(SealError):
        open_envelope(BOB, known, sealed_to_bob(signed_by(EVE, changes={"sender": ALICE.device})))


def test_padding_carries_no_hidden_message() -> None:
    content = signed_by(ALICE)
    plain = (len(content).to_bytes(4, "big") + content).ljust(8191, b"\0") + b"!"
    info = strict_cbor.encode(["p2p-handoff envelope", 1, BOB.device])
    with pytest.raises(SealError):
        open_envelope(BOB, known, b"\1" + SUITE.encrypt(plain, BOB.public.kem_public_key(), info=info))


def test_the_largest_body_fits_and_a_larger_one_is_a_defect() -> None:
    assert len(letter(bytes(57_000))) <= MAX_ENVELOPE
    with pytest.raises(LocalProtocolError, match="do not fit"):
        letter(bytes(57_344))


def test_a_recipient_with_an_unusable_key_is_refused() -> None:
    for kem_key in (b"\xff" * 1216, b"", BOB.public.kem_key[:1184] + bytes(32)):
        with pytest.raises(TrustError):
            seal(ALICE, replace(BOB.public, kem_key=kem_key), TXN, 0, EnvelopeKind.OFFER, b"")


def envelope(counter: int, txn: TxnId = TXN, sender: Identity = ALICE) -> Envelope:
    return Envelope(sender.device, txn, counter, EnvelopeKind.OFFER, b"", b"")


def test_a_replayed_envelope_is_refused() -> None:
    seen = SeenEnvelopes()
    seen.admit(envelope(0))
    seen.admit(envelope(2))
    for counter in (0, 1, 2):
        with pytest.raises(SealError, match="replayed"):
            seen.admit(envelope(counter))
    seen.admit(envelope(3))


def test_counters_of_other_senders_and_transactions_are_their_own() -> None:
    seen = SeenEnvelopes()
    seen.admit(envelope(5))
    seen.admit(envelope(0, OTHER_TXN))
    seen.admit(envelope(0, TXN, BOB))


def test_one_sender_cannot_push_out_what_is_remembered_of_another() -> None:
    seen = SeenEnvelopes(txns_per_sender=2)
    seen.admit(envelope(0, TXN, BOB))
    for letter_ in "cdefg":
        seen.admit(envelope(0, TxnId(letter_ * 26)))
    assert len(seen._seen[ALICE.device]) == 2
    with pytest.raises(SealError):
        seen.admit(envelope(0, TXN, BOB))


def test_an_unlinked_device_is_forgotten() -> None:
    seen = SeenEnvelopes()
    seen.admit(envelope(0))
    seen.forget(ALICE.device)
    seen.forget(EVE.device)
    seen.admit(envelope(0))


def test_the_golden_envelope_opens() -> None:
    sender = PublicIdentity.from_bytes(bytes.fromhex(VECTORS["sender_public"]))
    recipient = Identity.from_bytes(bytes.fromhex(VECTORS["recipient"]))
    opened = open_envelope(recipient, {sender.device: sender}.get, bytes.fromhex(VECTORS["envelope"]))
    assert (opened.sender, opened.txn, opened.counter) == (VECTORS["sender"], VECTORS["txn"], VECTORS["counter"])
    assert (opened.kind.value, opened.body.hex()) == (VECTORS["kind"], VECTORS["body"])
