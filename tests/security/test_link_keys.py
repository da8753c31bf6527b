# SPDX-License-Identifier: Apache-2.0
"""What is derived from a linking exchange's key differs by use, by side and by what was said."""

from __future__ import annotations

import pytest

from p2p_handoff.errors import LinkCodeError, SealError
from p2p_handoff.ids import RoomId
from p2p_handoff.security.link_keys import LinkKeys, SecureLine, hello_transcript, identity_transcript
from p2p_handoff.security.link_terms import LinkKind, Role
from p2p_handoff.security.link_wire import Decision, Sealed, decode_clear
from tests.security.link_party import ROOM

TRANSCRIPT = hello_transcript(ROOM, b"opener", b"joiner")
KEYS = LinkKeys(b"k" * 32, TRANSCRIPT)


def sealed(data: bytes) -> Sealed:
    message = decode_clear(data)
    assert isinstance(message, Sealed)
    return message


def test_a_transcript_names_the_room_and_keeps_the_sides_apart() -> None:
    others = (
        hello_transcript(RoomId("q" * 26), b"opener", b"joiner"),
        hello_transcript(ROOM, b"joiner", b"opener"),
        hello_transcript(ROOM, b"openerj", b"oiner"),
        identity_transcript(TRANSCRIPT, b"opener", b"joiner"),
        identity_transcript(TRANSCRIPT, b"joiner", b"opener"),
    )
    assert len({TRANSCRIPT, *others}) == 6


def test_a_confirmation_is_for_one_side_one_transcript_and_one_key() -> None:
    mac = KEYS.mac(Role.OPENER, b"t")
    KEYS.check(Role.OPENER, b"t", mac)
    for keys, role, transcript in (
        (KEYS, Role.JOINER, b"t"),
        (KEYS, Role.OPENER, b"u"),
        (LinkKeys(b"l" * 32, TRANSCRIPT), Role.OPENER, b"t"),
        (LinkKeys(b"k" * 32, b"u" * 32), Role.OPENER, b"t"),
    ):
        with pytest.raises(LinkCodeError, match="does not match"):
            keys.check(role, transcript, mac)


def test_each_direction_has_its_own_frame_key() -> None:
    assert KEYS.frame_key(Role.OPENER) != KEYS.frame_key(Role.JOINER)


def test_verification_words_follow_from_key_and_identities() -> None:
    words = KEYS.verification(b"identities")
    assert len(words.split()) == 4
    assert words == LinkKeys(b"k" * 32, TRANSCRIPT).verification(b"identities")
    assert words != KEYS.verification(b"others") != LinkKeys(b"l" * 32, TRANSCRIPT).verification(b"others")


def test_a_sealed_message_reaches_the_other_side_and_cannot_be_reflected() -> None:
    opener, joiner = (SecureLine(role, b"k" * 32, TRANSCRIPT) for role in Role)
    message = opener.seal(Decision(LinkKind.OWN, 0, 0))
    assert joiner.open(sealed(message)) == Decision(LinkKind.OWN, 0, 0)
    with pytest.raises(SealError):
        opener.open(sealed(message))
