# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from dataclasses import replace

from p2p_handoff.discovery.announcement import Announcement, Audience
from p2p_handoff.discovery.appearance import Appearance
from p2p_handoff.discovery.veil import Acquaintances
from p2p_handoff.ids import RoomId, device_id

LAPTOP = Announcement(device_id(b"laptop"), "laptop", 4711, 1, audience=Audience.LINKED)
ROOM = (RoomId("abcdefghijklmnopqrstuvwxyz"), 42)
NOBODY = Acquaintances(LAPTOP.device, {})


def test_a_random_name_is_kept_until_it_is_changed() -> None:
    appearance = Appearance(os.urandom)
    first = appearance.advertisement(LAPTOP, NOBODY, 0.0)
    with_room = appearance.advertisement(replace(LAPTOP, room=ROOM), NOBODY, 100.0)
    assert with_room.label == first.label
    assert with_room.txt["t0"] == first.txt["t0"]
    appearance.change()
    assert appearance.advertisement(LAPTOP, NOBODY, 200.0).label != first.label


def test_a_name_is_due_after_a_quarter_of_an_hour_and_up_to_a_third_more() -> None:
    for jitter, due in ((bytes(2), 900.0), (b"\xff\xff", 1200.0)):
        appearance = Appearance(lambda size, jitter=jitter: jitter if size == 2 else os.urandom(size))  # type: ignore[misc]
        assert not appearance.is_due(10**9)
        appearance.advertisement(LAPTOP, NOBODY, 50.0)
        assert not appearance.is_due(50.0 + due - 1)
        assert appearance.is_due(50.0 + due + 1)


def test_a_name_that_everyone_may_know_is_never_due() -> None:
    appearance = Appearance(os.urandom)
    appearance.advertisement(LAPTOP, NOBODY, 0.0)
    shown = appearance.advertisement(replace(LAPTOP, audience=Audience.EVERYONE), NOBODY, 1.0)
    assert shown.label.startswith("laptop ")
    assert not appearance.is_due(10**9)


def test_own_names_are_known_for_a_while() -> None:
    appearance = Appearance(os.urandom)
    labels = []
    for _ in range(9):
        labels.append(appearance.advertisement(LAPTOP, NOBODY, 0.0).label)
        appearance.change()
    assert appearance.is_own(labels[-1])
    assert appearance.is_own(labels[-2])
    assert not appearance.is_own(labels[0])
    assert not appearance.is_own("somebody else")
