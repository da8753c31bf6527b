# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.discovery.announcement import (
    MAX_LABEL_BYTES,
    Announcement,
    Audience,
    Heard,
    Sighting,
    Stranger,
    advertise,
    instance_label,
    read_announcement,
    server_name,
    txt_record,
)
from p2p_handoff.discovery.veil import Acquaintances, draw
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import RoomId, device_id

DEVICE = device_id(b"laptop")
ROOM = (RoomId("abcdefghijklmnopqrstuvwxyz"), 42)
ADDRESSES = ("192.168.1.5",)
NOBODY = Acquaintances(device_id(b"desktop"), {})
PAIR_KEY = b"k" * 32


def announced(name: str = "laptop") -> Announcement:
    return Announcement(DEVICE, name, 4711, 1, ROOM)


def pairs(txt: Mapping[str, str | bytes]) -> dict[bytes, bytes | None]:
    return {key.encode(): value if isinstance(value, bytes) else value.encode() for key, value in txt.items()}


def properties(**changes: bytes | None) -> dict[bytes, bytes | None]:
    return pairs(txt_record(announced())) | {key.encode(): value for key, value in changes.items()}


def read(
    said: dict[bytes, bytes | None], server: str = server_name(DEVICE), port: int = 4711, label: str = "any"
) -> Sighting | Stranger:
    return read_announcement(Heard(label, server, port, said, ADDRESSES), NOBODY)


def test_what_is_announced_is_what_is_seen() -> None:
    seen = read(properties())
    assert seen == Sighting(DEVICE, "laptop", 1, ADDRESSES, 4711, ROOM)


def test_without_an_open_room_none_is_announced() -> None:
    record = txt_record(Announcement(DEVICE, "laptop", 4711, 1))
    assert record == {"id": DEVICE, "name": "laptop", "v": "1"}


@given(st.text(min_size=1, max_size=300))
def test_any_name_fits_a_dns_label_and_a_txt_string(name: str) -> None:
    label = instance_label(announced(name))
    assert len(label.encode("utf-8", "surrogatepass")) <= MAX_LABEL_BYTES
    assert "." not in label
    assert label.isprintable()
    assert label.endswith(f" {DEVICE[:6]}")
    said = txt_record(announced(name))["name"]
    assert isinstance(said, str)
    assert len(f"name={said}".encode()) <= 255


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": b"short"},
        {"id": b"\xff" * 32},
        {"id": DEVICE.upper().encode()},
        {"name": None},
        {"name": b""},
        {"name": b"\xff"},
        {"name": "\u202e\x1b\u200b".encode()},
        {"v": b"0"},
        {"v": b"-1"},
        {"v": b"65536"},
        {"v": b"999999999999"},
        {"v": "\u0661".encode()},
        {"room": b"short"},
        {"room": None},
        {"np": b"0"},
        {"np": b"10000"},
        {"np": None},
    ],
    ids=str,
)
def test_a_malformed_record_is_refused(changes: dict[str, bytes | None]) -> None:
    with pytest.raises(RemoteProtocolError):
        read(properties(**changes))


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_an_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(RemoteProtocolError, match="port"):
        read(properties(), port=port)


def test_an_id_that_contradicts_the_server_name_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="server name"):
        read(properties(), server_name(device_id(b"other")))


def test_a_name_loses_what_could_move_a_cursor_or_reorder_a_line() -> None:
    seen = read(properties(name="a\x1b[2Jb\u202ec".encode()))
    assert isinstance(seen, Sighting)
    assert seen.name == "a[2Jbc"


@given(
    st.dictionaries(
        st.sampled_from([b"id", b"name", b"v", b"room", b"np", b"t0", b"t1"]), st.none() | st.binary(max_size=40)
    )
)
def test_no_record_whatever_raises_anything_else(record: dict[bytes, bytes | None]) -> None:
    with pytest.raises(RemoteProtocolError):
        read(record)


HIDDEN = Announcement(DEVICE, "laptop", 4711, 1, ROOM, Audience.LINKED)
KNOWING = Acquaintances(NOBODY.me, {DEVICE: PAIR_KEY})
VEIL = draw(Acquaintances(DEVICE, {NOBODY.me: PAIR_KEY}), os.urandom)


def hidden(**changes: bytes | None) -> dict[bytes, bytes | None]:
    return pairs(advertise(HIDDEN, VEIL).txt) | {key.encode(): value for key, value in changes.items()}


def test_a_hidden_device_is_itself_to_who_knows_it_and_a_stranger_with_a_room_to_others() -> None:
    said = advertise(HIDDEN, VEIL)
    heard = Heard(said.label, said.server, said.port, pairs(said.txt), ADDRESSES)
    assert read_announcement(heard, KNOWING) == Sighting(DEVICE, "", 1, ADDRESSES, 4711, ROOM, recognised=True)
    assert read_announcement(heard, NOBODY) == Stranger(1, ADDRESSES, 4711, ROOM)


def test_nothing_stable_is_in_what_a_hidden_device_says() -> None:
    said = advertise(HIDDEN, VEIL)
    assert said.txt.keys() == {"v", "t0", "room", "np"}
    text = repr(said).casefold()
    assert "laptop" not in text
    assert DEVICE not in text
    assert said.server == f"{said.label}.local."


@pytest.mark.parametrize(
    ("label", "changes"),
    [
        ("other" * 5 + "x", {}),
        (VEIL.label.upper(), {}),
        (VEIL.label, {"t0": b""}),
        (VEIL.label, {"t0": None}),
        (VEIL.label, {"t0": bytes(79)}),
        (VEIL.label, {"t0": bytes(70)}),
        (VEIL.label, {"t0": bytes(240), "t1": bytes(240), "t2": bytes(240)}),
    ],
    ids=["no-label", "capitals", "empty", "no-value", "short-by-one", "no-whole-tags", "too-many"],
)
def test_a_malformed_hidden_record_is_refused(label: str, changes: dict[str, bytes | None]) -> None:
    with pytest.raises(RemoteProtocolError):
        read(hidden(**changes), server_name(VEIL.label), label=label)


def test_a_hidden_record_under_another_name_is_not_recognised() -> None:
    """Whoever repeats the tags must repeat the name as well."""
    other = draw(NOBODY, os.urandom).label
    heard = Heard(other, server_name(other), 4711, hidden(), ADDRESSES)
    assert isinstance(read_announcement(heard, KNOWING), Stranger)
