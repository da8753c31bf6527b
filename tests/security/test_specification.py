# SPDX-License-Identifier: Apache-2.0
"""docs/specs/{link,sealing}.md against the code: what is sent fits the published schema."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pycddl import Schema, ValidationError

from p2p_handoff.content import strict_cbor
from p2p_handoff.security.exchange import AnswerPublic, OfferPublic
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import AbortReason, LinkKind, Purpose, Role
from p2p_handoff.security.link_wire import Abort, Confirm, Decision, Decline, Hello, Proof, Reveal, encode
from p2p_handoff.security.offers import SdpAnswer, SdpOffer, SdpRefusal

ROOT = Path(__file__).parents[2]
LINK = json.loads((ROOT / "tests/vectors/link.json").read_text())
IDENTITY = Identity.generate()


@cache
def schema(document: str, start: str) -> Schema:
    text = (ROOT / "docs/specs" / document).read_text(encoding="utf-8")
    return Schema(f"start = {start}\n" + "\n".join(re.findall(r"```cddl\n(.*?)```", text, re.DOTALL)))


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        ("public-identity", IDENTITY.public.to_bytes()),
        ("stored-identity", IDENTITY.to_bytes()),
        ("offer", SdpOffer("v=0", "aiortc", OfferPublic(bytes(32), bytes(1184)), (2,)).to_bytes()),
        ("answer", SdpAnswer("v=0", "native", AnswerPublic(bytes(32), bytes(1088)), (2,)).to_bytes()),
        ("refusal", SdpRefusal("busy", "later").to_bytes()),
    ],
)
def test_identities_and_bodies_fit_the_schema_and_nothing_else_does(rule: str, data: bytes) -> None:
    schema("sealing.md", rule).validate_cbor(data)
    with pytest.raises(ValidationError):
        schema("sealing.md", rule).validate_cbor(strict_cbor.encode([2, b""]))


MESSAGES: list[bytes] = [
    *(bytes.fromhex(data) for _, data in LINK["messages"]),
    *(encode(Hello(role, purpose, (1,), b"")) for role in Role for purpose in Purpose),
    *(encode(Abort(reason)) for reason in AbortReason),
    encode(Reveal(IDENTITY.public, "laptop")),
    encode(Proof(bytes(32), bytes(64))),
    *(encode(Decision(kind, 0, 1)) for kind in LinkKind),
    encode(Decline()),
]


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
def test_every_link_message_fits_the_rule_of_its_name(message: bytes) -> None:
    """Rule by rule, as the validator cannot choose between arrays that contain arrays."""
    value: Any = strict_cbor.decode(message, limit=len(message))
    rule = schema("link.md", value[0])
    rule.validate_cbor(message)
    for bad in ([*value, 0], ["other", *value[1:]]):
        with pytest.raises(ValidationError):
            rule.validate_cbor(strict_cbor.encode(bad))


def test_a_mac_of_another_length_does_not_fit() -> None:
    with pytest.raises(ValidationError):
        schema("link.md", "confirm").validate_cbor(encode(Confirm(bytes(31))))
