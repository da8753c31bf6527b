# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from signaling.policy import EmbeddedPolicy, SharedPolicy
from tests.signaling.parties import ALICE, BOB, CAROL

OWN, BOB_ID, CAROL_ID = ALICE.device, BOB.device, CAROL.device


def test_a_shared_relay_serves_everyone() -> None:
    policy = SharedPolicy()
    assert policy.may_connect(BOB_ID)
    assert policy.recipient(BOB_ID, CAROL_ID) == CAROL_ID
    assert policy.recipient(BOB_ID, None) is None
    assert policy.return_address(BOB_ID) == BOB_ID
    assert policy.may_see(BOB_ID, CAROL_ID)
    assert policy.may_open_rooms(BOB_ID)


def test_an_embedded_relay_passes_envelopes_to_its_device_unnamed_and_from_it() -> None:
    policy = EmbeddedPolicy(OWN)
    assert policy.recipient(BOB_ID, None) == OWN
    assert policy.recipient(OWN, BOB_ID) == BOB_ID
    assert policy.recipient(BOB_ID, CAROL_ID) is None


def test_an_embedded_relay_never_says_whose_it_is() -> None:
    policy = EmbeddedPolicy(OWN)
    assert policy.recipient(BOB_ID, OWN) == policy.recipient(BOB_ID, CAROL_ID)
    assert policy.may_see(BOB_ID, OWN) == policy.may_see(BOB_ID, CAROL_ID)
    assert policy.return_address(OWN) is None
    assert policy.return_address(BOB_ID) == BOB_ID


def test_an_embedded_relay_shows_strangers_nobody() -> None:
    policy = EmbeddedPolicy(OWN)
    assert not policy.may_see(BOB_ID, OWN)
    assert policy.may_see(OWN, CAROL_ID)


def test_only_the_own_device_opens_rooms_and_it_never_comes_over_the_network() -> None:
    policy = EmbeddedPolicy(OWN)
    assert policy.may_open_rooms(OWN)
    assert not policy.may_open_rooms(BOB_ID)
    assert policy.may_connect(BOB_ID)
    assert not policy.may_connect(OWN)
