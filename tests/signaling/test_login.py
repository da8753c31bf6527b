# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pycddl
import pytest

from p2p_handoff.errors import TrustError
from signaling.login import LOGIN_LABEL, answer, check_signature, host_label, is_own_host, login_message
from signaling.messages import Challenge, HostLabel, IdentityKey, Login, Nonce, RelayName, Signature, Version
from tests.signaling.parties import ALICE, BOB

ROOT = Path(__file__).parents[2]
CHALLENGE = Challenge((Version(1),), RelayName("relay"), Nonce(bytes(32)))
HOST = HostLabel("relay.example:443")


def login(challenge: Challenge = CHALLENGE) -> Login:
    made = answer(challenge, HOST, ALICE.key, ALICE.sign)
    assert made is not None
    return made


def test_a_good_login_is_accepted() -> None:
    check_signature(CHALLENGE, login())


@pytest.mark.parametrize(
    "alter",
    [
        lambda good: replace(good, version=Version(2)),
        lambda good: replace(good, host=HostLabel("other.example:443")),
        lambda good: replace(good, identity_key=IdentityKey(BOB.key)),
        lambda good: replace(good, identity_key=IdentityKey(b"\xff" * 32)),
        lambda good: replace(good, signature=Signature(bytes(64))),
        lambda good: replace(good, signature=Signature(ALICE.secret.sign(b"something else"))),
    ],
)
def test_an_altered_login_is_refused(alter: Callable[[Login], Login]) -> None:
    with pytest.raises(TrustError):
        check_signature(CHALLENGE, alter(login()))


@pytest.mark.parametrize(
    "other",
    [
        replace(CHALLENGE, nonce=Nonce(b"\x01" * 32)),
        replace(CHALLENGE, relay=RelayName("another")),
        replace(CHALLENGE, versions=(Version(1), Version(2))),
    ],
    ids=["nonce", "relay", "versions"],
)
def test_a_login_answers_one_challenge_only(other: Challenge) -> None:
    with pytest.raises(TrustError):
        check_signature(other, login())


def test_without_a_common_version_there_is_no_login() -> None:
    assert answer(replace(CHALLENGE, versions=(Version(9),)), HOST, ALICE.key, ALICE.sign) is None


def test_the_golden_login_message_is_signed_as_published() -> None:
    vectors = json.loads((ROOT / "tests/vectors/signaling.json").read_text())
    challenge_fields, login_fields = (vectors["messages"][index]["message"] for index in (0, 1))
    challenge = Challenge(
        tuple(challenge_fields["versions"]),
        RelayName(challenge_fields["relay"]),
        Nonce(bytes.fromhex(challenge_fields["nonce"]["hex"])),
    )
    message = login_message(challenge, 1, login_fields["host"], ALICE.key)
    assert message.hex() == vectors["login"]["message"]
    assert ALICE.secret.sign(LOGIN_LABEL + message).hex() == login_fields["signature"]["hex"]


def test_the_login_message_fits_the_published_schema() -> None:
    published = (ROOT / "docs/specs/signaling.cddl").read_text()
    # The first rule of a schema is the one that is validated.
    pycddl.Schema("start = login-message\n" + published).validate_cbor(login_message(CHALLENGE, 1, HOST, ALICE.key))


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("192.0.2.7", "192.0.2.7:8787"),
        ("Relay.Example.", "relay.example:8787"),
        ("2001:DB8:0::1", "[2001:db8::1]:8787"),
        ("[2001:db8::1]", "[2001:db8::1]:8787"),
        ("fe80::1%eth0", "[fe80::1]:8787"),
        ("::ffff:192.0.2.7", "192.0.2.7:8787"),
    ],
)
def test_a_host_has_one_spelling(host: str, label: str) -> None:
    assert host_label(host, 8787) == label


@pytest.mark.parametrize(
    ("label", "own"),
    [
        ("192.0.2.7:8787", True),
        ("192.0.2.7:8788", False),
        ("192.0.2.8:8787", False),
        ("localhost:8787", False),
        ("relay.example:1", True),
        ("port.example:443", True),
        ("port.example:444", False),
        ("evil.example:8787", False),
        ("", False),
    ],
)
def test_a_relay_knows_its_own_address_and_names(label: str, own: bool) -> None:
    names = {"relay.example", "port.example:443"}
    assert is_own_host(label, "192.0.2.7", 8787, names) is own


def test_localhost_names_a_relay_reached_over_the_loopback_interface() -> None:
    assert is_own_host("localhost:8787", "::1", 8787, ())
