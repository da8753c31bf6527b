# SPDX-License-Identifier: Apache-2.0
"""The manifest: one encoding, strict and bounded, its digest is the session's root."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import HandoffError, LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import DeviceId, PartId, SessionId
from p2p_handoff.limits import MAX_CBOR_ITEMS, MAX_PARTS, MAX_SECRET_PATH, MAX_SECRETS, MAX_TITLE
from p2p_handoff.session.manifest import Manifest, Part, PartType, Secret, decode_manifest, encode_manifest, root_of

PART = Part(PartId("p1"), PartType.FILES, "folder", "project", digest(b"root"), 7, 100, 3)
SENT, KEPT = Secret(b"key.pem", "private-key"), Secret(b".env", "env-secret", DeviceId("b" * 32))
MANIFEST = Manifest(SessionId("a" * 26), "My project", (PART,))
SIZES = st.integers(0, 2**63 - 1)
PARTS = st.builds(
    lambda part_type, root, sizes, held: replace(
        PART, type=part_type, root=digest(root), total_bytes=sizes, held_by=held
    ),
    st.sampled_from(PartType),
    st.binary(max_size=4),
    SIZES,
    st.sampled_from([None, DeviceId("b" * 32)]),
)


def numbered(parts: list[Part]) -> tuple[Part, ...]:
    return tuple(replace(part, id=PartId(f"p{number}")) for number, part in enumerate(parts, 1))


@given(st.lists(PARTS, max_size=6).map(numbered), st.text(max_size=MAX_TITLE))
def test_a_manifest_survives_the_wire(parts: tuple[Part, ...], title: str) -> None:
    manifest = Manifest(SessionId("a" * 26), title, parts)
    data = encode_manifest(manifest)
    assert decode_manifest(data) == manifest
    assert root_of(manifest) == digest(data)


def test_every_field_shows_in_the_root() -> None:
    others = [
        replace(MANIFEST, title="Other"),
        replace(MANIFEST, session=SessionId("b" * 26)),
        replace(MANIFEST, parts=()),
        *(
            replace(MANIFEST, parts=(part,))
            for part in (
                replace(PART, id=PartId("p2")),
                replace(PART, type=PartType.CONTEXT),
                replace(PART, kind="other"),
                replace(PART, name="other"),
                replace(PART, root=digest(b"other")),
                replace(PART, root_size=8),
                replace(PART, total_bytes=101),
                replace(PART, items=4),
                replace(PART, held_by=DeviceId("b" * 32)),
                replace(PART, secrets=(SENT,)),
                replace(PART, secrets=(KEPT,)),
                replace(PART, secrets=(KEPT, SENT)),
            )
        ),
    ]
    assert len({root_of(manifest) for manifest in [MANIFEST, *others]}) == len(others) + 1


@given(st.data())
def test_altered_bytes_are_a_manifest_in_its_only_encoding_or_refused(data: st.DataObject) -> None:
    altered = bytearray(encode_manifest(MANIFEST))
    altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    try:
        manifest = decode_manifest(bytes(altered))
    except HandoffError as error:
        assert isinstance(error, RemoteProtocolError)  # noqa: PT017 - that nothing else comes out is the point
        return
    assert encode_manifest(manifest) == bytes(altered)


@pytest.mark.parametrize(
    "manifest",
    [
        replace(MANIFEST, session=SessionId("short")),
        replace(MANIFEST, session=SessionId("A" * 26)),
        replace(MANIFEST, title="t" * (MAX_TITLE + 1)),
        replace(MANIFEST, title="\ud800"),
        replace(MANIFEST, parts=(PART, PART)),
        replace(MANIFEST, parts=numbered([PART] * (MAX_PARTS + 1))),
        *(
            replace(MANIFEST, parts=(part,))
            for part in (
                replace(PART, id=PartId("1")),
                replace(PART, id=PartId("p0")),
                replace(PART, id=PartId("p1\n")),
                replace(PART, kind="Folder"),
                replace(PART, kind=""),
                replace(PART, kind="k" * 33),
                replace(PART, name=""),
                replace(PART, name="ü" * 128),
                replace(PART, root=Digest(b"short")),
                replace(PART, root_size=-1),
                replace(PART, total_bytes=2**63),
                replace(PART, items=-1),
                replace(PART, held_by=DeviceId("short")),
            )
        ),
    ],
)
def test_what_a_peer_would_refuse_is_never_written(manifest: Manifest) -> None:
    with pytest.raises(LocalProtocolError):
        encode_manifest(manifest)


ROW = ["p1", "files", "folder", "n", digest(b""), 1, 2, 3, None]


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["manifest/2", "a" * 26, "t", []],
        ["manifest/1", "a" * 26, "t", {}],
        ["manifest/1", "a" * 26, "t", [], 0],
        ["manifest/1", "a" * 26, b"t", []],
        ["manifest/1", "a" * 25, "t", []],
        ["manifest/1", "a" * 26, "t", [[]]],
        ["manifest/1", "a" * 26, "t", [ROW[:-1]]],
        ["manifest/1", "a" * 26, "t", [[*ROW, None]]],
        ["manifest/1", "a" * 26, "t", [[*ROW[:-1], 5]]],
        ["manifest/1", "a" * 26, "t", [[*ROW[:5], True, 2, 3, None]]],
        ["manifest/1", "a" * 26, "t", [["p1", "secrets", *ROW[2:]]]],
    ],
)
def test_what_is_no_manifest_is_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_manifest(strict_cbor.encode(value))


@given(st.lists(st.builds(Secret, st.binary(max_size=9), st.sampled_from(["a", "b-1"]), st.none()), max_size=9))
def test_secrets_survive_the_wire(secrets: list[Secret]) -> None:
    listed = {(secret.path, secret.kind): secret for secret in secrets}
    part = replace(PART, secrets=tuple(listed[key] for key in sorted(listed)))
    manifest = replace(MANIFEST, parts=(part,))
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_what_is_left_out_is_what_a_device_kept_back() -> None:
    assert replace(PART, secrets=(KEPT, SENT)).left_out == {b".env"}


@pytest.mark.parametrize(
    "secrets",
    [
        (SENT, KEPT),
        (SENT, SENT),
        tuple(Secret(b"%04d" % number, "a") for number in range(MAX_SECRETS + 1)),
        (Secret(b"x" * (MAX_SECRET_PATH + 1), "a"),),
        (Secret(b"x", "Not A Kind"),),
        (Secret(b"x", "a", DeviceId("short")),),
    ],
    ids=["order", "twice", "many", "long", "kind", "device"],
)
def test_a_list_of_secrets_that_breaks_a_rule_is_neither_made_nor_read(secrets: tuple[Secret, ...]) -> None:
    manifest = replace(MANIFEST, parts=(replace(PART, secrets=secrets),))
    with pytest.raises(LocalProtocolError):
        encode_manifest(manifest)


def test_an_empty_list_of_secrets_is_no_second_encoding() -> None:
    fields: Any = strict_cbor.decode(encode_manifest(MANIFEST), limit=10_000)
    label, session, title, [row] = fields
    with pytest.raises(RemoteProtocolError):
        decode_manifest(strict_cbor.encode([label, session, title, [[*row, []]]]))


def test_a_manifest_of_more_items_than_a_message_may_have_is_refused_before_they_are_made() -> None:
    data = strict_cbor.encode(["manifest/1", "a" * 26, "t", [[]] * MAX_CBOR_ITEMS])
    with pytest.raises(RemoteProtocolError, match="items"):
        decode_manifest(data)
