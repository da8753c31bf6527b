# SPDX-License-Identifier: Apache-2.0
"""Every message survives the wire; nothing else passes for one."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import DEVICE_ID_LENGTH, LONG_ID_LENGTH, DeviceId, PartId, SessionId, TxnId
from p2p_handoff.limits import MAX_CONTROL_MESSAGE
from p2p_handoff.protocol import codec
from p2p_handoff.protocol.messages import MESSAGES, Accept, Goodbye, Init, Message, Ping, Ready, Want, Within
from p2p_handoff.session.manifest import Manifest, Part, PartType, decode_manifest, encode_manifest
from tests.protocol.example_messages import EXAMPLES, PART, SESSION, TXN

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
TEXT = st.characters(codec="utf-8")


def id_of(length: int) -> st.SearchStrategy[str]:
    return st.text(BASE32, min_size=length, max_size=length)


LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(TEXT),
    bytes: st.binary(max_size=100),
    int: st.integers(0, strict_cbor.INT_MAX),
    bool: st.booleans(),
    DeviceId: id_of(DEVICE_ID_LENGTH),
    SessionId: id_of(LONG_ID_LENGTH),
    TxnId: id_of(LONG_ID_LENGTH),
    PartId: st.integers(1, 999_999).map("p{}".format),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in LEAVES:
        return LEAVES[hint]
    if get_origin(hint) is Annotated:
        return bounded(*get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return instances(hint)


def bounded(hint: Any, bounds: Within) -> st.SearchStrategy[Any]:
    least, most = bounds.least, min(bounds.most, bounds.least + 3)
    if hint is int:
        return st.integers(bounds.least, bounds.most)
    if hint is str:
        return st.text(TEXT, min_size=least, max_size=most)
    if hint is bytes:
        return st.binary(min_size=least, max_size=most)
    return st.lists(values(get_args(hint)[0]), min_size=least, max_size=most).map(tuple)


def instances(kind: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(cast("Any", kind))})


def wire(message: Message, **changes: object) -> bytes:
    """The message with some fields replaced, or removed where the value is Ellipsis."""
    body = cast("dict[str, object]", strict_cbor.decode(codec.encode(message), limit=MAX_CONTROL_MESSAGE))
    changed = {**body, **changes}
    return strict_cbor.encode({key: value for key, value in changed.items() if value is not ...})


@given(st.sampled_from(sorted(MESSAGES)).flatmap(lambda name: instances(MESSAGES[name])))
def test_every_message_survives_the_wire(message: Message) -> None:
    assert codec.decode(codec.encode(message)) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_without_one_of_its_fields_is_refused(name: str) -> None:
    for field in fields(MESSAGES[name]):
        with pytest.raises(RemoteProtocolError, match=f"lacks {field.name}"):
            codec.decode(wire(EXAMPLES[name], **{field.name: ...}))


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("wrong", [None, -1, [[]], {"a": 1}, 2.5, True, "\x00", b"\x00"], ids=repr)
def test_a_field_of_another_type_is_refused_or_was_of_that_type(name: str, wrong: object) -> None:
    for field in fields(MESSAGES[name]):
        try:
            data = wire(EXAMPLES[name], **{field.name: wrong})
        except LocalProtocolError:
            continue  # Not even our CBOR carries it.
        try:
            message = codec.decode(data)
        except RemoteProtocolError:
            continue
        assert type(getattr(message, field.name)) is type(wrong)


def test_an_unknown_field_is_ignored_unless_it_must_be_understood() -> None:
    assert codec.decode(wire(Ping(1), later=[1, 2])) == Ping(1)
    with pytest.raises(RemoteProtocolError, match="'!later' must be understood"):
        codec.decode(wire(Ping(1), **{"!later": 1}))


def test_an_unknown_field_of_a_nested_map_is_treated_alike() -> None:
    summary = {"session": SESSION, "title": "", "role": "primary", "epoch": 1, "primary": "d" * 32}
    for key, accepted in (("later", True), ("!later", False)):
        data = strict_cbor.encode({"type": "session-list", "number": 1, "sessions": [{**summary, key: 1}]})
        if accepted:
            codec.decode(data)
        else:
            with pytest.raises(RemoteProtocolError, match="must be understood"):
                codec.decode(data)


@pytest.mark.parametrize("value", [[], 1, None, {}, {"type": 1}, {"type": "other"}, {"type": ["ping"]}, {1: "ping"}])
def test_what_is_no_message_is_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        codec.decode(strict_cbor.encode(value))


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_protocol_error(data: bytes) -> None:
    try:
        codec.decode(data)
    except RemoteProtocolError:
        return


@pytest.mark.parametrize("bad", ["", "a" * 25, "a" * 27, "A" * 26, "1" * 26, "a" * 25 + "\n", "é" * 26])
@pytest.mark.parametrize("name", [name for name in MESSAGES if hasattr(EXAMPLES[name], "txn")])
def test_a_txn_that_is_no_identifier_is_refused(name: str, bad: str) -> None:
    with pytest.raises(RemoteProtocolError, match="is not an identifier"):
        codec.decode(wire(EXAMPLES[name], txn=bad))


@pytest.mark.parametrize("field", ["session", "source", "target"])
def test_the_other_identifiers_are_checked_too(field: str) -> None:
    with pytest.raises(RemoteProtocolError, match="is not an identifier"):
        codec.decode(wire(EXAMPLES["init"], **{field: "a" * 31}))


@pytest.mark.parametrize("bad", ["", "p", "p0", "p01", "q1", "p1000000", "p1\n", "p\u0661"])
def test_a_part_id_is_checked(bad: str) -> None:
    with pytest.raises(RemoteProtocolError, match="part id"):
        codec.decode(wire(EXAMPLES["want"], part=bad))


@given(st.from_regex(r"p[0-9]{1,7}", fullmatch=True))
def test_a_message_names_the_parts_that_a_manifest_can_name(name: str) -> None:
    part = Part(PartId(name), PartType.FILES, "folder", "x", digest(b""), 0, 0, 0)
    data = strict_cbor.encode(["manifest/1", SESSION, "", [[name, "files", "folder", "x", digest(b""), 0, 0, 0, None]]])
    try:
        manifest = decode_manifest(data)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            codec.decode(wire(Accept(TXN, (PART,)), parts=[name]))
    else:
        assert encode_manifest(Manifest(SESSION, "", (part,))) == encode_manifest(manifest)
        assert codec.decode(wire(Accept(TXN, (PART,)), parts=[name])) == Accept(TXN, (part.id,))


@pytest.mark.parametrize(
    ("message", "field", "bad"),
    [
        (EXAMPLES["ready"], "nonce", bytes(15)),
        (EXAMPLES["ready"], "nonce", bytes(17)),
        (EXAMPLES["ready"], "number", 0),
        (EXAMPLES["want"], "digests", []),
        (EXAMPLES["want"], "digests", [bytes(31)]),
        (EXAMPLES["want"], "digests", [bytes(32)] * 8193),
        (EXAMPLES["accept"], "parts", []),
        (EXAMPLES["accept"], "parts", ["p1"] * 65),
        (EXAMPLES["grant"], "statement", bytes(5000)),
        (EXAMPLES["hello"], "name", "x" * 201),
        (EXAMPLES["hello"], "versions", list(range(17))),
        (EXAMPLES["request"], "expires_in", 86_401),
        (EXAMPLES["cancel"], "text", "x" * 501),
        (EXAMPLES["cancel"], "reason", "tired"),
        (EXAMPLES["cancel"], "reason", ["cancelled"]),
        (EXAMPLES["resumed"], "root", b""),
    ],
)
def test_a_value_beyond_its_bound_is_refused(message: Message, field: str, bad: object) -> None:
    with pytest.raises(RemoteProtocolError):
        codec.decode(wire(message, **{field: bad}))


def test_every_text_and_list_of_every_message_has_a_bound() -> None:
    unbounded = {
        f"{kind.__name__}.{name}"
        for kind in MESSAGES.values()
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if hint in (str, bytes) or (get_origin(hint) is tuple and not is_dataclass(get_args(hint)[0]))
    }
    # Their decoders bound them: a manifest by its parts, a chain by its statements.
    manifests = {f"{kind}.manifest" for kind in ("Request", "Round", "Grant", "Finish")}
    assert unbounded == manifests | {"Init.chain", "Init.parent", "ChainNews.chain"}


def test_a_message_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="at most"):
        codec.decode(bytes(MAX_CONTROL_MESSAGE + 1))


@pytest.mark.parametrize(
    "message",
    [
        Goodbye("x" * 501),
        Want(TXN, PART, (b"short",), 0),
        Ready(TXN, 1, complete=True, nonce=b""),
        Init(TXN, SESSION, DeviceId("me"), DeviceId("you"), cast("Init", EXAMPLES["init"]).mode, 1, b"", take=False),
    ],
)
def test_what_the_peer_would_refuse_is_not_sent(message: Message) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        codec.encode(message)
