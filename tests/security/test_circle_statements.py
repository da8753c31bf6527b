# SPDX-License-Identifier: Apache-2.0
"""Statements about own devices: bytes, signatures, and docs/specs/circle.md with its schema and golden bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pycddl import Schema, ValidationError

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.security.circle_statements import (
    MAX_CIRCLE_STATEMENT,
    MAX_NUMBER,
    Admission,
    Revocation,
    SignedCircleStatement,
    decode_circle_statement,
    encode_circle_statement,
    sign_circle_statement,
    verify_circle_statement,
)
from p2p_handoff.security.identity import Identity, PublicIdentity
from tests.security.circle_world import admits, device, revokes

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests/vectors/circle.json").read_text())
SPECIFICATION = (ROOT / "docs/specs/circle.md").read_text(encoding="utf-8")
A, B = device("a"), device("b")
STATEMENTS: list[Admission | Revocation] = [
    Admission(A.device, B.public, "desktop", 1),
    Admission(A.device, B.public, "x" * MAX_TITLE, MAX_NUMBER),
    Revocation(A.device, B.device, 1, disowns=False),
    Revocation(A.device, B.device, MAX_NUMBER, disowns=True),
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_survives_the_wire_and_its_signature_holds(statement: Admission | Revocation) -> None:
    signed = SignedCircleStatement.from_bytes(sign_circle_statement(A, statement).to_bytes())
    assert verify_circle_statement(signed, A.public.identity_key) == statement
    assert encode_circle_statement(statement) == signed.body


def test_the_largest_statement_fits_its_bound() -> None:
    largest = Admission(A.device, B.public, "\U0001f4bb" * MAX_TITLE, MAX_NUMBER)
    assert len(sign_circle_statement(A, largest).to_bytes()) < MAX_CIRCLE_STATEMENT


def test_a_device_signs_nothing_for_another_one() -> None:
    with pytest.raises(LocalProtocolError):
        sign_circle_statement(B, STATEMENTS[0])


def test_another_key_another_purpose_and_another_body_do_not_verify() -> None:
    signed = admits("a", "b")
    with pytest.raises(TrustError, match="the key is not the one"):
        verify_circle_statement(signed, B.public.identity_key)
    for signature in (A.sign(b"ownership v1", signed.body), revokes("a", "b").signature, bytes(64)):
        with pytest.raises(TrustError):
            verify_circle_statement(SignedCircleStatement(signed.body, signature), A.public.identity_key)


def test_an_encryption_key_that_the_subject_did_not_sign_is_not_introduced() -> None:
    mixed = PublicIdentity(B.public.identity_key, A.public.kem_key, A.public.kem_signature)
    signed = sign_circle_statement(A, Admission(A.device, mixed, "desktop", 1))
    with pytest.raises(TrustError):
        verify_circle_statement(signed, A.public.identity_key)


VALUE = strict_cbor.decode(encode_circle_statement(STATEMENTS[2]), limit=4096)
ADMISSION = strict_cbor.decode(encode_circle_statement(STATEMENTS[0]), limit=4096)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (0, True),
        (0, "0"),
        (1, 2),
        (1, True),
        (2, "a"),
        (2, b""),
        (3, ""),
        (4, 0),
        (4, 2**53 + 1),
        (4, True),
        (5, 1),
    ],
)
def test_a_field_out_of_bounds_is_refused(place: int, value: object) -> None:
    assert isinstance(VALUE, list)
    with pytest.raises(RemoteProtocolError):
        decode_circle_statement(strict_cbor.encode([*VALUE[:place], value, *VALUE[place + 1 :]]))


@pytest.mark.parametrize(("place", "value"), [(2, 7), (3, b""), (3, "b"), (4, "x" * (MAX_TITLE + 1)), (5, 0)])
def test_an_admission_out_of_bounds_is_refused(place: int, value: object) -> None:
    assert isinstance(ADMISSION, list)
    with pytest.raises(RemoteProtocolError):
        decode_circle_statement(strict_cbor.encode([*ADMISSION[:place], value, *ADMISSION[place + 1 :]]))


@pytest.mark.parametrize("value", [[], 1, [0, 1], [b"", b""], [b"body", bytes(63)], [b"body", bytes(64), 0], {}])
def test_other_bytes_are_no_signed_statement(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        SignedCircleStatement.from_bytes(strict_cbor.encode(value))


def test_the_golden_bytes_are_what_this_code_says() -> None:
    signer = Identity.from_bytes(bytes.fromhex(VECTORS["signer"]))
    public = PublicIdentity.from_bytes(bytes.fromhex(VECTORS["subject"]))
    for golden in VECTORS["statements"]:
        signed = SignedCircleStatement.from_bytes(bytes.fromhex(golden["signed"]))
        assert signed.digest.hex() == golden["digest"]
        statement = verify_circle_statement(signed, signer.public.identity_key)
        if golden["kind"] == "admission":
            assert statement == Admission(signer.device, public, golden["name"], golden["number"])
        else:
            assert statement == Revocation(signer.device, public.device, golden["number"], golden["disowns"])
        assert sign_circle_statement(signer, statement) == signed


def test_every_statement_fits_the_published_schema_and_nothing_else_does() -> None:
    cddl = "\n".join(re.findall(r"```cddl\n(.*?)```", SPECIFICATION, re.DOTALL))
    for statement in STATEMENTS:
        rule = Schema(f"start = {'admission' if isinstance(statement, Admission) else 'revocation'}\n{cddl}")
        rule.validate_cbor(encode_circle_statement(statement))
        with pytest.raises(ValidationError):
            rule.validate_cbor(strict_cbor.encode([*VALUE, 0]))  # type: ignore[misc]  # a list
    signed = Schema(f"start = signed-statement\n{cddl}")
    signed.validate_cbor(admits("a", "b").to_bytes())
    with pytest.raises(ValidationError):
        signed.validate_cbor(strict_cbor.encode([b"body", bytes(63)]))
