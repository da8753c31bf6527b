# SPDX-License-Identifier: Apache-2.0
"""A downgrade, an unknown version, an unknown field that must be understood: refused and said so, in every protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.objects import decode_directory, decode_index
from p2p_handoff.control import schema as control
from p2p_handoff.errors import (
    HandoffError,
    IntegrityError,
    LinkCodeError,
    RemoteProtocolError,
    SealError,
    TrustError,
    VersionError,
)
from p2p_handoff.protocol import codec
from p2p_handoff.protocol.messages import MESSAGES
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.link_terms import Role
from p2p_handoff.security.link_wire import Hello, decode_clear
from p2p_handoff.security.link_wire import encode as encode_link
from p2p_handoff.security.offers import SdpAnswer, SdpOffer, SdpRefusal
from p2p_handoff.security.sealing import open_envelope
from p2p_handoff.session.manifest import decode_manifest
from p2p_handoff.session.statement_codec import decode_statement
from signaling import messages as m
from signaling.login import answer, check_signature
from signaling.wire import decode_from_client, decode_from_relay, deterministic, encode
from tests.fuzz.targets.descriptions import bodies
from tests.protocol.example_messages import EXAMPLES
from tests.protocol.test_connection import HELLO, Pair
from tests.rendezvous.test_client import dial_error, hostile_relay
from tests.security.link_party import Party
from tests.signaling.parties import ALICE, dialled, running_relay

SEAL = json.loads((Path(__file__).parent / "vectors/seal.json").read_text())
RECIPIENT, SENDER = (
    Identity.from_bytes(bytes.fromhex(SEAL["recipient"])),
    PublicIdentity.from_bytes(bytes.fromhex(SEAL["sender_public"])),
)
ENVELOPE = bytes.fromhex(SEAL["envelope"])
CHALLENGE = m.Challenge((m.Version(1),), m.RelayName("relay"), m.Nonce(bytes(32)))


@dataclass(frozen=True)
class Case:
    """Something that a newer or a hostile side says."""

    name: str
    act: Callable[[], object]
    error: type[HandoffError]
    says: str


def envelope(data: bytes) -> object:
    return open_envelope(RECIPIENT, lambda _device: SENDER, data)


def labelled(decode: Callable[[bytes], object], *fields: object) -> Callable[[], object]:
    return lambda: decode(strict_cbor.encode(list(fields)))


def request(**fields: Any) -> object:
    return control.read_request({**control.request_line("peers", {}, interactive=False), **fields})


def greet(versions: tuple[int, ...]) -> None:
    Pair(lambda given: replace(given, hello=replace(HELLO, versions=versions))).exchange()


def meet(theirs: tuple[int, ...]) -> None:
    Party(joiner={"versions": theirs}).meet()


def shorten(_sender: Role, message: bytes) -> list[bytes]:
    """A relay that hides that both speak version 2."""
    value = decode_clear(message)
    return [encode_link(replace(value, versions=(1,))) if isinstance(value, Hello) else message]


def forged_login(challenge: m.Challenge) -> None:
    """The client answered another challenge than the relay gave."""
    login = answer(challenge, m.HostLabel("relay.example:443"), ALICE.key, ALICE.sign)
    assert login is not None
    check_signature(CHALLENGE, login)


def relay_message(decode: Callable[[bytes], object], **fields: object) -> Callable[[], object]:
    return lambda: decode(deterministic(fields))


CASES = [
    # --- handoff
    Case("hello", lambda: greet((3, 4)), VersionError, "speaks version 2 and the other one version 3, version 4"),
    Case("hello with no version", lambda: greet(()), VersionError, "the other one no version"),
    Case("message", lambda: codec.decode(strict_cbor.encode({"type": "grant/3"})), RemoteProtocolError, "grant/3"),
    # --- envelopes
    Case("envelope", lambda: envelope(b"\x02" + ENVELOPE[1:]), VersionError, "version 2 and this device speaks"),
    Case(
        "envelope, downgraded inside", lambda: envelope(ENVELOPE[:1] + b"\0" + ENVELOPE[2:]), SealError, "does not open"
    ),
    Case("public identity", labelled(PublicIdentity.from_bytes, 2, b"", b"", b""), RemoteProtocolError, "malformed"),
    # --- linking
    Case("link hello", lambda: meet((2, 3)), VersionError, "version 2, version 3 and the other one version 1"),
    Case(
        "link, downgraded",
        lambda: Party(opener={"versions": (1, 2)}, joiner={"versions": (1, 2)}).meet(shorten),
        LinkCodeError,
        "does not match",
    ),
    Case("link message", labelled(decode_clear, "hello/2", 1), RemoteProtocolError, "not a message of the linking"),
    Case(
        "link message with one more field",
        labelled(decode_clear, "confirm", bytes(32), 1),
        RemoteProtocolError,
        "confirm",
    ),
    # --- relay
    Case(
        "login, downgraded",
        lambda: forged_login(replace(CHALLENGE, versions=(m.Version(1), m.Version(2)))),
        TrustError,
        "not signed",
    ),
    Case("relay request", relay_message(decode_from_client, type="send/2", id=1), RemoteProtocolError, "send/2"),
    Case(
        "relay request with an unknown field",
        relay_message(decode_from_client, type="find_room", id=1, nameplate=1, urgent=True),
        RemoteProtocolError,
        "no field 'urgent'",
    ),
    Case(
        "relay message", relay_message(decode_from_relay, type="sent", id=1, x=1), RemoteProtocolError, "no field 'x'"
    ),
    # --- content and ownership
    Case("manifest", labelled(decode_manifest, "manifest/2", "s" * 26, "", []), RemoteProtocolError, "not a manifest"),
    Case("directory", labelled(decode_directory, "dir/2", []), IntegrityError, "not a directory"),
    Case("index", labelled(decode_index, "idx/2", 1, []), IntegrityError, "not an index"),
    Case("statement", labelled(decode_statement, 0, 2), RemoteProtocolError, "statement version 2"),
    Case("kind of statement", labelled(decode_statement, 9, 1), RemoteProtocolError, "statement kind 9"),
    # --- local protocol
    Case("request", lambda: request(protocol=2), VersionError, "version 2 of the local protocol and the agent"),
    Case("request with a critical field", lambda: request(**{"!dry": True}), RemoteProtocolError, "'!dry'"),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_of_another_version_is_refused_in_words(case: Case) -> None:
    with pytest.raises(case.error) as caught:
        case.act()
    assert case.says in caught.value.sentence


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_with_a_field_that_must_be_understood_is_refused(name: str) -> None:
    value: Any = strict_cbor.decode(codec.encode(EXAMPLES[name]), limit=1 << 20)
    assert codec.decode(strict_cbor.encode({**value, "later": 1})) == EXAMPLES[name]
    with pytest.raises(RemoteProtocolError, match="'!later' must be understood"):
        codec.decode(strict_cbor.encode({**value, "!later": 1}))


@pytest.mark.parametrize(("kind", "data"), list(zip((SdpOffer, SdpAnswer, SdpRefusal), bodies(), strict=True)))
def test_a_body_with_a_field_that_must_be_understood_is_refused(kind: Any, data: bytes) -> None:
    value: Any = strict_cbor.decode(data, limit=1 << 20)
    assert kind.from_bytes(strict_cbor.encode({**value, "later": 1})) == kind.from_bytes(data)
    with pytest.raises(RemoteProtocolError, match="'!later' must be understood"):
        kind.from_bytes(strict_cbor.encode({**value, "!later": 1}))


async def test_a_client_refuses_a_relay_of_other_versions_only() -> None:
    async def newer(response: Any) -> None:
        offer = m.Challenge((m.Version(2), m.Version(3)), m.RelayName("r"), m.Nonce(bytes(32)))
        await response.send_bytes(encode(offer))
        await response.receive()

    async with hostile_relay(newer) as url:
        error = await dial_error(url)
    assert isinstance(error, VersionError)
    assert "the relay speaks versions 2, 3, this device 1" in error.sentence


async def test_a_relay_refuses_a_login_of_a_version_that_it_did_not_offer() -> None:
    async with running_relay() as url, dialled(url) as client:
        login = answer(await client.challenge(), m.HostLabel(client.host), ALICE.key, ALICE.sign)
        assert login is not None
        await client.send(replace(login, version=m.Version(2)))
        assert await client.farewell() is m.Farewell.VERSION
