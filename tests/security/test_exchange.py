# SPDX-License-Identifier: Apache-2.0
"""Both sides of an exchange hold the same keys, mirrored; nobody else and no second time."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from p2p_handoff.errors import LocalProtocolError, SealError
from p2p_handoff.security.exchange import (
    AnswerPublic,
    EphemeralOffer,
    OfferPublic,
    SharedSecrets,
    channel_keys,
    respond,
    transcript_hash,
)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "frames.json").read_text())["exchange"]
SECRETS = SharedSecrets(b"x" * 32, b"m" * 32)
TRANSCRIPT = transcript_hash(b"offer", b"answer")


def test_both_sides_arrive_at_the_same_secrets() -> None:
    offer = EphemeralOffer.generate()
    answer, theirs = respond(offer.public)
    assert offer.finish(answer) == theirs
    assert theirs.x25519 != theirs.mlkem


def test_two_exchanges_share_nothing() -> None:
    secrets = [secret for _ in range(2) for secret in astuple(respond(EphemeralOffer.generate().public)[1])]
    assert len(set(secrets)) == 4


def test_what_one_side_sends_with_the_other_receives_with() -> None:
    dialler = channel_keys(SECRETS, TRANSCRIPT, dialler=True)
    answerer = channel_keys(SECRETS, TRANSCRIPT, dialler=False)
    assert dialler.send_control == answerer.receive_control
    assert dialler.receive_control == answerer.send_control
    assert dialler.send_bulk == answerer.receive_bulk
    assert dialler.receive_bulk == answerer.send_bulk


def test_each_direction_of_each_channel_has_its_own_key() -> None:
    keys = channel_keys(SECRETS, TRANSCRIPT, dialler=True)
    four = (keys.send_control, keys.receive_control, keys.send_bulk, keys.receive_bulk)
    assert len({key.secret for key in four}) == len({key.label for key in four}) == 4


@pytest.mark.parametrize(
    ("secrets", "transcript"),
    [
        (replace(SECRETS, x25519=b"y" * 32), TRANSCRIPT),
        (replace(SECRETS, mlkem=b"n" * 32), TRANSCRIPT),
        (SECRETS, transcript_hash(b"offer", b"another answer")),
        (SECRETS, transcript_hash(b"another offer", b"answer")),
    ],
)
def test_keys_depend_on_both_secrets_and_on_both_envelopes(secrets: SharedSecrets, transcript: bytes) -> None:
    assert channel_keys(secrets, transcript, dialler=True).send_control.secret != (
        channel_keys(SECRETS, TRANSCRIPT, dialler=True).send_control.secret
    )


def test_a_transcript_knows_where_one_envelope_ends() -> None:
    assert transcript_hash(b"ab", b"c") != transcript_hash(b"a", b"bc")
    assert transcript_hash(b"a", b"b") != transcript_hash(b"b", b"a")


def test_a_transcript_of_the_wrong_length_is_a_defect() -> None:
    with pytest.raises(LocalProtocolError):
        channel_keys(SECRETS, b"", dialler=True)


def test_an_ephemeral_offer_is_used_once() -> None:
    offer = EphemeralOffer.generate()
    answer, _ = respond(offer.public)
    offer.finish(answer)
    with pytest.raises(LocalProtocolError):
        offer.finish(answer)


GOOD_OFFER = EphemeralOffer.generate().public
GOOD_ANSWER = respond(GOOD_OFFER)[0]


@pytest.mark.parametrize(
    "offer",
    [
        replace(GOOD_OFFER, x25519=bytes(32)),
        replace(GOOD_OFFER, x25519=b"\1" + bytes(31)),
        replace(GOOD_OFFER, x25519=b""),
        replace(GOOD_OFFER, mlkem=b"\xff" * 1184),
        replace(GOOD_OFFER, mlkem=GOOD_OFFER.mlkem[:-1]),
    ],
)
def test_an_offer_with_a_degenerate_key_is_refused(offer: OfferPublic) -> None:
    with pytest.raises(SealError):
        respond(offer)


@pytest.mark.parametrize(
    "answer",
    [
        replace(GOOD_ANSWER, x25519=bytes(32)),
        replace(GOOD_ANSWER, x25519=b"short"),
        replace(GOOD_ANSWER, ciphertext=b""),
        replace(GOOD_ANSWER, ciphertext=GOOD_ANSWER.ciphertext + b"\0"),
    ],
)
def test_an_answer_with_a_degenerate_key_is_refused(answer: AnswerPublic) -> None:
    with pytest.raises(SealError):
        EphemeralOffer.generate().finish(answer)


def test_an_answer_to_another_offer_gives_other_secrets() -> None:
    """ML-KEM rejects implicitly (FIPS 203 §6.3): the frames will not open."""
    offer = EphemeralOffer.generate()
    _, theirs = respond(offer.public)
    assert offer.finish(GOOD_ANSWER) != theirs


def test_secrets_do_not_show() -> None:
    assert repr(SECRETS) == "SharedSecrets()"


def test_the_golden_exchange_gives_the_golden_keys() -> None:
    offer = EphemeralOffer(
        X25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["x25519_private"])),
        MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(VECTORS["mlkem_seed"])),
    )
    answer = AnswerPublic(bytes.fromhex(VECTORS["answer_x25519"]), bytes.fromhex(VECTORS["answer_ciphertext"]))
    secrets = offer.finish(answer)
    assert (secrets.x25519.hex(), secrets.mlkem.hex()) == (VECTORS["x25519_secret"], VECTORS["mlkem_secret"])
    transcript = transcript_hash(VECTORS["offer_envelope"].encode(), VECTORS["answer_envelope"].encode())
    assert transcript.hex() == VECTORS["transcript"]
    keys = channel_keys(secrets, transcript, dialler=True)
    assert {
        "send_control": keys.send_control.secret.hex(),
        "receive_control": keys.receive_control.secret.hex(),
        "send_bulk": keys.send_bulk.secret.hex(),
        "receive_bulk": keys.receive_bulk.secret.hex(),
    } == VECTORS["dialler_keys"]
