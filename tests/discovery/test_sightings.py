# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

from p2p_handoff.discovery.announcement import Sighting, Stranger
from p2p_handoff.discovery.sightings import MAX_INSTANCES, SightingBook
from p2p_handoff.ids import RoomId, device_id

LAPTOP = Sighting(device_id(b"laptop"), "laptop", 1, ("192.168.1.5",), 4711)
DESKTOP = Sighting(device_id(b"desktop"), "desktop", 1, ("192.168.1.6",), 4711)


class Diary:
    """A book and everything that it told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.book = SightingBook(self.told.append, self.told.append)


def test_a_device_is_told_once_and_again_when_it_changes() -> None:
    diary = Diary()
    moved = replace(LAPTOP, port=4712)
    for sighting in (LAPTOP, LAPTOP, moved):
        assert diary.book.put("one", sighting)
    assert diary.told == [LAPTOP, moved]
    assert diary.book.devices == {LAPTOP.device: moved}


def test_a_device_that_is_gone_is_told_once() -> None:
    diary = Diary()
    diary.book.put("one", LAPTOP)
    diary.book.remove("one")
    diary.book.remove("one")
    assert diary.told == [LAPTOP, LAPTOP.device]
    assert not diary.book.devices


def test_a_latecomer_with_the_same_id_does_not_take_its_place() -> None:
    diary = Diary()
    impostor = replace(LAPTOP, addresses=("6.6.6.6",))
    diary.book.put("one", LAPTOP)
    diary.book.put("two", impostor)
    assert diary.told == [LAPTOP]
    assert diary.book.names_of(LAPTOP.device) == ("one", "two")


def test_the_next_instance_moves_up_when_the_first_goes() -> None:
    diary = Diary()
    restarted = replace(LAPTOP, port=4712)
    diary.book.put("one", LAPTOP)
    diary.book.put("two", restarted)
    diary.book.remove("one")
    assert diary.told == [LAPTOP, restarted]


def test_an_instance_that_changes_its_id_is_one_lost_and_one_found() -> None:
    diary = Diary()
    diary.book.put("one", LAPTOP)
    diary.book.put("one", DESKTOP)
    assert diary.told == [LAPTOP, LAPTOP.device, DESKTOP]


def test_a_flood_does_not_fill_the_memory_and_leaves_the_known_alone() -> None:
    diary = Diary()
    for number in range(MAX_INSTANCES):
        diary.book.put(str(number), LAPTOP)
    assert not diary.book.put("one too many", DESKTOP)
    assert diary.book.put("0", replace(LAPTOP, port=4712))
    assert len(diary.book.instances) == MAX_INSTANCES
    assert DESKTOP.device not in diary.book.devices


KNOWN = replace(LAPTOP, name="", recognised=True)
STRANGER = Stranger(1, ("192.168.1.7",), 4711, (RoomId("a" * 26), 42))


def test_a_device_that_takes_another_name_is_neither_lost_nor_found_again() -> None:
    diary = Diary()
    diary.book.put("one", KNOWN)
    diary.book.put("two", KNOWN)
    diary.book.remove("one")
    assert diary.told == [KNOWN]
    assert diary.book.devices == {LAPTOP.device: KNOWN}


def test_a_recognised_device_counts_before_one_that_only_says_so() -> None:
    diary = Diary()
    impostor = replace(LAPTOP, addresses=("6.6.6.6",))
    diary.book.put("one", impostor)
    diary.book.put("two", KNOWN)
    assert diary.book.devices == {LAPTOP.device: KNOWN}
    assert diary.told == [impostor, KNOWN]
    assert diary.book.claims(LAPTOP.device) == (KNOWN, impostor)


def test_a_recognised_device_that_was_killed_and_is_back_under_another_name_is_dialled_there_first() -> None:
    diary = Diary()
    restarted = replace(KNOWN, port=4712)
    diary.book.put("one", KNOWN)
    diary.book.put("two", restarted)
    assert diary.told == [KNOWN, restarted]
    assert diary.book.claims(LAPTOP.device) == (restarted, KNOWN)
    diary.book.remove("one")
    assert diary.told == [KNOWN, restarted]


def test_claims_are_bounded() -> None:
    diary = Diary()
    for number in range(9):
        diary.book.put(str(number), replace(KNOWN, port=4000 + number))
    assert [seen.port for seen in diary.book.claims(LAPTOP.device)] == [4008, 4007, 4006, 4005]


def test_a_stranger_is_remembered_and_of_interest_while_a_room_is_open_there() -> None:
    diary = Diary()
    diary.book.put("one", STRANGER)
    assert list(diary.book.rooms) == [STRANGER]
    diary.book.put("one", replace(STRANGER, room=None))
    assert not diary.book.rooms
    assert diary.book.instances == ("one",)
    assert not diary.told
    assert not diary.book.devices


def test_a_stranger_that_becomes_known_is_found_and_back_again_lost() -> None:
    diary = Diary()
    for seen in (STRANGER, KNOWN, STRANGER):
        diary.book.put("one", seen)
    assert diary.told == [KNOWN, LAPTOP.device]
