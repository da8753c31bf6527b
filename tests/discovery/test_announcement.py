# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.discovery.announcement import (
    MAX_LABEL_BYTES,
    Announcement,
    Sighting,
    instance_label,
    read_sighting,
    server_name,
    txt_record,
)
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import RoomId, device_id

DEVICE = device_id(b"laptop")
ROOM = (RoomId("abcdefghijklmnopqrstuvwxyz"), 42)
ADDRESSES = ("192.168.1.5",)


def announced(name: str = "laptop") -> Announcement:
    return Announcement(DEVICE, name, 4711, 1, ROOM)


def properties(**changes: bytes | None) -> dict[bytes, bytes | None]:
    record: dict[bytes, bytes | None] = {key.encode(): value.encode() for key, value in txt_record(announced()).items()}
    return record | {key.encode(): value for key, value in changes.items()}


def test_what_is_announced_is_what_is_seen() -> None:
    seen = read_sighting(properties(), server_name(DEVICE), 4711, ADDRESSES)
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
    assert len(f"name={txt_record(announced(name))['name']}".encode()) <= 255


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
        read_sighting(properties(**changes), server_name(DEVICE), 4711, ADDRESSES)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_an_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(RemoteProtocolError, match="port"):
        read_sighting(properties(), server_name(DEVICE), port, ADDRESSES)


def test_an_id_that_contradicts_the_server_name_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="server name"):
        read_sighting(properties(), server_name(device_id(b"other")), 4711, ADDRESSES)


def test_a_name_loses_what_could_move_a_cursor_or_reorder_a_line() -> None:
    seen = read_sighting(properties(name="a\x1b[2Jb\u202ec".encode()), server_name(DEVICE), 4711, ADDRESSES)
    assert seen.name == "a[2Jbc"


@given(st.dictionaries(st.sampled_from([b"id", b"name", b"v", b"room", b"np"]), st.none() | st.binary(max_size=40)))
def test_no_record_whatever_raises_anything_else(record: dict[bytes, bytes | None]) -> None:
    with pytest.raises(RemoteProtocolError):
        read_sighting(record, server_name(DEVICE), 4711, ADDRESSES)
