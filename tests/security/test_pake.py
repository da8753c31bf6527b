# SPDX-License-Identifier: Apache-2.0
"""SPAKE2 gives both sides one key for one code in one room, and takes nothing degenerate."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import RoomId
from p2p_handoff.security.link_terms import Role
from p2p_handoff.security.pake import PAKE_MESSAGE_BYTES, Pake
from tests.security.link_party import ROOM, seeded


def side(role: Role, secret: bytes = b"velvet-sausage", room: RoomId = ROOM) -> Pake:
    return Pake(role, secret, room, seeded(role.value.encode()))


def test_the_same_code_gives_the_same_key() -> None:
    opener, joiner = side(Role.OPENER), side(Role.JOINER)
    assert len(opener.message) == len(joiner.message) == PAKE_MESSAGE_BYTES
    assert opener.finish(joiner.message) == joiner.finish(opener.message)


@pytest.mark.parametrize(
    "joiner", [side(Role.JOINER, secret=b"velvet-salmon"), side(Role.JOINER, room=RoomId("q" * 26))]
)
def test_another_code_or_room_gives_another_key(joiner: Pake) -> None:
    opener = side(Role.OPENER)
    assert opener.finish(joiner.message) != joiner.finish(opener.message)


NEUTRAL = b"\1" + bytes(31)
ORDER_TWO = b"\xec" + b"\xff" * 30 + b"\x7f"
ORDER_FOUR = bytes(32)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"B",
        b"B" + bytes(31),
        b"B" + NEUTRAL,
        b"B" + ORDER_TWO,
        b"B" + ORDER_FOUR,
        b"B" + b"\2" + bytes(31),
        b"B" + b"\xff" * 32,
        b"X" + side(Role.JOINER).message[1:],
        side(Role.OPENER).message,
        b"B" + side(Role.OPENER).message[1:],
    ],
)
def test_degenerate_and_reflected_messages_are_refused(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        side(Role.OPENER).finish(message)


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_any_other_message_is_refused_or_gives_another_key(element: bytes) -> None:
    opener, joiner = side(Role.OPENER), side(Role.JOINER)
    try:
        key = opener.finish(b"B" + element)
    except RemoteProtocolError:
        return
    assert key != joiner.finish(opener.message)


def test_a_run_is_used_once() -> None:
    opener, joiner = side(Role.OPENER), side(Role.JOINER)
    opener.finish(joiner.message)
    with pytest.raises(RemoteProtocolError):
        opener.finish(joiner.message)
