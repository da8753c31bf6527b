# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from signaling.policy import EmbeddedPolicy, SharedPolicy
from tests.signaling.parties import ALICE, BOB, CAROL

OWN, BOB_ID, CAROL_ID = ALICE.device, BOB.device, CAROL.device


def test_a_shared_relay_serves_everyone() -> None:
    policy = SharedPolicy()
    assert policy.may_connect(BOB_ID)
    assert policy.may_send(BOB_ID, CAROL_ID)
    assert policy.may_see(BOB_ID, CAROL_ID)
    assert policy.may_open_rooms(BOB_ID)


def test_an_embedded_relay_passes_envelopes_to_and_from_its_device_only() -> None:
    policy = EmbeddedPolicy(OWN)
    assert policy.may_send(BOB_ID, OWN)
    assert policy.may_send(OWN, BOB_ID)
    assert not policy.may_send(BOB_ID, CAROL_ID)


def test_an_embedded_relay_shows_strangers_its_device_only() -> None:
    policy = EmbeddedPolicy(OWN)
    assert policy.may_see(BOB_ID, OWN)
    assert policy.may_see(OWN, CAROL_ID)
    assert not policy.may_see(BOB_ID, CAROL_ID)


def test_only_the_own_device_opens_rooms_and_it_never_comes_over_the_network() -> None:
    policy = EmbeddedPolicy(OWN)
    assert policy.may_open_rooms(OWN)
    assert not policy.may_open_rooms(BOB_ID)
    assert policy.may_connect(BOB_ID)
    assert not policy.may_connect(OWN)
