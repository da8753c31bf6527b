# SPDX-License-Identifier: Apache-2.0
"""Linking: whoever has the code gets the other's keys; whoever has not burns it and learns nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.errors import (
    CancelledError,
    HandoffError,
    LinkCodeError,
    LocalProtocolError,
    RejectedError,
    TrustError,
    VersionError,
)
from p2p_handoff.ids import RoomId
from p2p_handoff.limits import LINK_CODE_LIFETIME, MAX_TITLE
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link import LinkExchange
from p2p_handoff.security.link_terms import AbortReason, LinkKind, LinkParameters, LinkState, Purpose, Role
from p2p_handoff.security.link_wire import Abort, encode
from p2p_handoff.security.words import LinkCode
from tests.security.link_party import DESKTOP, LAPTOP, NOW, ROOM, Party, Relay, parameters, seeded

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "link.json").read_text())
WRONG = LinkCode(7, ("velvet", "salmon"))


def linked(opener: LinkKind = LinkKind.OWN, joiner: LinkKind = LinkKind.OWN) -> Party:
    party = Party().meet()
    party.run(Role.OPENER, party.opener.decide(opener))
    party.run(Role.JOINER, party.joiner.decide(joiner))
    return party


def test_the_right_code_shows_each_side_the_other() -> None:
    party = Party().meet()
    assert party.opener.result is not None
    assert party.joiner.result is not None
    assert (party.opener.result.peer, party.opener.result.peer_name) == (DESKTOP.public, "desktop")
    assert (party.joiner.result.peer, party.joiner.result.peer_name) == (LAPTOP.public, "laptop")
    assert party.opener.state is party.joiner.state is LinkState.DECIDING


def test_both_sides_show_the_same_four_words_and_another_exchange_other_ones() -> None:
    one, two = Party().meet(), Party(opener={"entropy": seeded(b"else")}).meet()
    assert one.opener.result is not None
    assert one.joiner.result is not None
    assert two.opener.result is not None
    assert one.opener.result.verification == one.joiner.result.verification != two.opener.result.verification
    assert len(one.opener.result.verification.split()) == 4


@pytest.mark.parametrize("opener", LinkKind)
@pytest.mark.parametrize("joiner", LinkKind)
def test_a_link_is_between_own_devices_only_if_both_say_so(opener: LinkKind, joiner: LinkKind) -> None:
    party = linked(opener, joiner)
    assert party.opener.outcome is not None
    assert party.joiner.outcome is not None
    assert (party.opener.outcome.mine, party.opener.outcome.theirs) == (opener, joiner)
    both_own = opener is LinkKind.OWN and joiner is LinkKind.OWN
    expected = LinkKind.OWN if both_own else LinkKind.OTHER
    assert party.opener.outcome.kind is party.joiner.outcome.kind is expected
    assert party.opener.state is party.joiner.state is LinkState.COMPLETE


def test_one_yes_makes_no_link() -> None:
    party = Party().meet()
    party.run(Role.OPENER, party.opener.decide(LinkKind.OWN))
    assert party.opener.outcome is None
    assert party.joiner.outcome is None


def test_a_no_ends_it_on_both_sides() -> None:
    party = Party().meet()
    party.run(Role.OPENER, party.opener.decide(LinkKind.OWN))
    with pytest.raises(RejectedError) as caught:
        party.run(Role.JOINER, party.joiner.decline())
    assert caught.value.reason == "declined"
    assert party.opener.state is party.joiner.state is LinkState.DECLINED
    assert party.opener.outcome is None
    assert party.opener.abort() == []


def test_nobody_can_decide_twice_or_too_early() -> None:
    party = Party()
    with pytest.raises(LocalProtocolError):
        party.opener.decide(LinkKind.OWN)
    party.meet()
    party.opener.decide(LinkKind.OWN)
    with pytest.raises(LocalProtocolError):
        party.opener.decide(LinkKind.OTHER)
    with pytest.raises(LocalProtocolError):
        party.opener.decline()


def test_an_exchange_starts_once_and_before_it_receives() -> None:
    party = Party()
    with pytest.raises(LocalProtocolError):
        party.opener.receive(b"", NOW)
    party.opener.start()
    with pytest.raises(LocalProtocolError):
        party.opener.start()
    with pytest.raises(LocalProtocolError):
        LinkExchange(LinkParameters(Role.OPENER, WRONG, ROOM, LAPTOP, "x" * (MAX_TITLE + 1), NOW, seeded(b"")))


def test_a_wrong_code_burns_the_exchange_before_anybody_is_named() -> None:
    party = Party(joiner={"code": WRONG})
    with pytest.raises(LinkCodeError, match="does not match"):
        party.meet()
    assert party.opener.state is LinkState.BURNT
    assert len(party.log) == 3, "two hellos and the joiner's confirmation, no identity"
    with pytest.raises(LinkCodeError, match="does not match"):
        party.run(Role.OPENER, party.opener.abort())
    assert party.joiner.state is LinkState.BURNT
    assert party.joiner.abort() == []


def test_there_is_no_second_guess() -> None:
    party = Party(joiner={"code": WRONG})
    with pytest.raises(LinkCodeError):
        party.meet()
    right = LinkExchange(parameters(Role.JOINER))
    for message in right.start():
        with pytest.raises(LinkCodeError, match="used up"):
            party.opener.receive(message, NOW + 1)


def test_the_same_words_in_another_room_do_not_match() -> None:
    with pytest.raises(LinkCodeError, match="does not match"):
        Party(joiner={"room": RoomId("q" * 26)}).meet()


def test_two_openers_do_not_link() -> None:
    other = LinkExchange(
        LinkParameters(Role.OPENER, parameters(Role.OPENER).code, ROOM, DESKTOP, "d", NOW, seeded(b"o"))
    )
    party = Party()
    party.opener.start()
    with pytest.raises(LinkCodeError, match="both sides say that they are the opener"):
        party.opener.receive(other.start()[0], NOW)


@pytest.mark.parametrize("role", Role)
def test_a_reflected_hello_is_refused(role: Role) -> None:
    exchange = LinkExchange(parameters(role))
    with pytest.raises(LinkCodeError):
        exchange.receive(exchange.start()[0], NOW)


def test_a_device_does_not_link_with_itself() -> None:
    with pytest.raises(LinkCodeError, match="itself"):
        Party(joiner={"identity": LAPTOP}).meet()


def test_a_code_for_copying_links_nothing() -> None:
    with pytest.raises(LinkCodeError, match="uses this code to copy"):
        Party(joiner={"purpose": Purpose.COPY}).meet(lambda role, data: [data] if role is Role.JOINER else [])


def test_no_common_version_is_said_in_numbers_and_to_the_other_side() -> None:
    party = Party(joiner={"versions": (2, 3)})
    party.opener.start()
    with pytest.raises(VersionError, match="version 1 and the other one version 2, version 3"):
        party.opener.receive(party.joiner.start()[0], NOW)
    with pytest.raises(VersionError):
        party.joiner.receive(party.opener.abort()[0], NOW)


@pytest.mark.parametrize("late", [LINK_CODE_LIFETIME, LINK_CODE_LIFETIME + 1])
def test_a_code_dies_after_ten_minutes(late: float) -> None:
    party = Party()
    party.opener.start()
    assert party.opener.expires_at == NOW + LINK_CODE_LIFETIME
    with pytest.raises(LinkCodeError, match="expired"):
        party.opener.receive(party.joiner.start()[0], NOW + late)
    with pytest.raises(LinkCodeError, match="expired"):
        party.joiner.receive(party.opener.abort()[0], NOW)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (AbortReason.CANCELLED, CancelledError),
        (AbortReason.EXPIRED, LinkCodeError),
        (AbortReason.FAILED, LinkCodeError),
        (AbortReason.VERSION, VersionError),
    ],
)
def test_giving_up_is_told_to_the_other_side(reason: AbortReason, error: type[HandoffError]) -> None:
    party = Party().meet()
    with pytest.raises(error):
        party.run(Role.OPENER, party.opener.abort(reason))
    assert party.opener.state is party.joiner.state is LinkState.BURNT
    assert party.opener.abort() == []


def test_an_abort_cannot_undo_a_link() -> None:
    party = linked()
    with pytest.raises(LinkCodeError, match="used up"):
        party.opener.receive(encode(Abort(AbortReason.FAILED)), NOW)
    assert party.opener.outcome is not None
    assert party.opener.abort() == []


def test_the_relay_sees_no_name_no_key_and_no_device() -> None:
    party = linked()
    seen = b"".join(message for _, message in party.log)
    for public in (LAPTOP.public, DESKTOP.public):
        assert public.identity_key not in seen
        assert public.kem_key[:32] not in seen
    assert b"laptop" not in seen
    assert b"velvet" not in seen


def ends_badly(relay: Relay) -> bool:
    """True if the exchange failed by a typed error or never got to the decisions."""
    party = Party()
    try:
        party.meet(relay)
    except TrustError:
        assert LinkState.BURNT in (party.opener.state, party.joiner.state)
        return True
    return party.opener.result is None or party.joiner.result is None


MESSAGES = len(Party().meet().log)
"""Two hellos, two confirmations, two reveals, two proofs."""


class Meddler:
    """A relay that does something to one message, by its number."""

    def __init__(self, number: int, meddle: Relay) -> None:
        self._number, self._meddle, self._seen = number, meddle, -1

    def __call__(self, role: Role, message: bytes) -> list[bytes]:
        self._seen += 1
        return self._meddle(role, message) if self._seen == self._number else [message]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, MESSAGES - 1), st.integers(0, 4000), st.integers(1, 255))
def test_a_relay_that_alters_any_byte_gets_no_link(number: int, position: int, flip: int) -> None:
    def alter(_role: Role, message: bytes) -> list[bytes]:
        data = bytearray(message)
        data[position % len(data)] ^= flip
        return [bytes(data)]

    assert ends_badly(Meddler(number, alter))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, MESSAGES - 1), st.integers(0, 4000))
def test_a_relay_that_truncates_a_message_gets_no_link(number: int, length: int) -> None:
    assert ends_badly(Meddler(number, lambda _role, message: [message[: length % len(message)]]))


@pytest.mark.parametrize("number", range(MESSAGES))
def test_a_relay_that_repeats_a_message_gets_no_outcome(number: int) -> None:
    party = Party()
    with pytest.raises(LinkCodeError):
        party.meet(Meddler(number, lambda _role, message: [message, message]))
    assert party.opener.outcome is None
    assert party.joiner.outcome is None


@pytest.mark.parametrize("number", range(MESSAGES))
def test_a_relay_that_swallows_a_message_gets_no_link(number: int) -> None:
    assert ends_badly(Meddler(number, lambda _role, _message: []))


def test_an_impostor_who_joins_gets_one_guess_and_nothing_to_check_it_by() -> None:
    opener = LinkExchange(parameters(Role.OPENER))
    impostor = LinkExchange(replace(parameters(Role.JOINER), code=WRONG, identity=Identity.generate()))
    (hello,) = opener.start()
    assert opener.receive(impostor.start()[0], NOW) == [], "the opener shows nothing before the joiner has"
    with pytest.raises(LinkCodeError):
        opener.receive(impostor.receive(hello, NOW)[0], NOW)


def test_an_impostor_who_opens_gets_one_guess_and_no_name() -> None:
    joiner = LinkExchange(parameters(Role.JOINER))
    impostor = LinkExchange(replace(parameters(Role.OPENER), code=WRONG, identity=Identity.generate()))
    (hello,) = joiner.start()
    (confirmation,) = joiner.receive(impostor.start()[0], NOW)
    impostor.receive(hello, NOW)
    with pytest.raises(LinkCodeError):
        joiner.receive(impostor._confirmation(), NOW)
    with pytest.raises(LinkCodeError):
        impostor.receive(confirmation, NOW)


def test_who_knows_the_code_still_cannot_claim_another_devices_keys() -> None:
    """Mallory has the code, reveals the desktop's public keys and signs with her own."""
    mallory = Identity.generate()
    mallory.public = DESKTOP.public
    with pytest.raises(LinkCodeError, match="does not belong to the device"):
        Party(joiner={"identity": mallory}).meet()


def test_an_encryption_key_that_the_identity_did_not_sign_is_refused() -> None:
    mallory = Identity.generate()
    mallory.public = replace(mallory.public, kem_key=DESKTOP.public.kem_key)
    with pytest.raises(LinkCodeError, match="does not belong to the device"):
        Party(joiner={"identity": mallory}).meet()


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_garbage_burns_the_code_by_a_typed_error(data: bytes, early: bool) -> None:
    party = Party()
    if early:
        party.opener.start()
    else:
        party.meet()
    with pytest.raises(LinkCodeError):
        party.opener.receive(data, NOW)
    assert party.opener.state is LinkState.BURNT


def test_the_golden_exchange_is_what_this_code_says() -> None:
    def side(role: Role) -> dict[str, object]:
        values = VECTORS[role.value]
        identity = Identity.from_bytes(bytes.fromhex(values["identity"]))
        return {"identity": identity, "name": values["name"], "entropy": seeded(values["entropy_seed"].encode())}

    shared = {"code": LinkCode.parse(VECTORS["code"]), "room": VECTORS["room"]}
    party = Party(opener=side(Role.OPENER) | shared, joiner=side(Role.JOINER) | shared).meet()
    party.run(Role.OPENER, party.opener.decide(LinkKind.OWN))
    party.run(Role.JOINER, party.joiner.decide(LinkKind.OTHER))
    assert [[role.value, message.hex()] for role, message in party.log] == VECTORS["messages"]
    assert party.opener.result is not None
    assert party.opener.result.verification == VECTORS["verification"]
