# SPDX-License-Identifier: Apache-2.0
"""What a device says when its person links and unlinks."""

from __future__ import annotations

from p2p_handoff.security.circle import judge, take
from p2p_handoff.security.circle_acts import admit, next_number, revoke
from p2p_handoff.security.circle_statements import MAX_NUMBER, Admission, Revocation
from tests.security.circle_world import book, device, linked, members, revokes

A_B_C = (*linked("a", "b"), *linked("b", "c"))


def test_the_first_admission_has_number_one_and_each_later_one_overcomes_what_ended() -> None:
    assert [next_number(ended) for ended in (0, 1, 7, MAX_NUMBER)] == [1, 2, 8, MAX_NUMBER]


def test_an_admission_names_the_peer_and_its_keys() -> None:
    (signed,) = admit(device("a"), device("b").public, "desktop", 3)
    assert signed.read() == Admission(device("a").device, device("b").public, "desktop", 3)


def test_unlinking_a_device_keeps_those_that_came_through_it() -> None:
    held = book("a", A_B_C)
    said = revoke(device("a"), held, judge(held), device("b").device, disowns=False)
    assert {member.name for member in judge(take(held, said).book).members.values()} == {"c"}


def test_disowning_a_device_drops_those_that_came_through_it() -> None:
    held = book("a", A_B_C)
    said = revoke(device("a"), held, judge(held), device("b").device, disowns=True)
    assert [signed.read() for signed in said] == [Revocation(device("a").device, device("b").device, 1, disowns=True)]
    assert not judge(take(held, said).book).members


def test_a_revocation_ends_the_admission_that_is_in_force() -> None:
    held = book("a", (*A_B_C, revokes("a", "c"), *linked("b", "c", 2)))
    said = revoke(device("a"), held, judge(held), device("c").device, disowns=False)
    assert said[0].read().number == 2
    assert members("b", (*held.statements(), *said)) == {"a"}
