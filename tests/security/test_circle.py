# SPDX-License-Identifier: Apache-2.0
"""Who belongs to a circle: what own devices say, what strangers, revoked and hostile ones say, in any order."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff import limits
from p2p_handoff.errors import TrustError
from p2p_handoff.limits import MAX_CIRCLE_BY_SIGNER, MAX_CIRCLE_STATEMENTS
from p2p_handoff.security import circle
from p2p_handoff.security.circle import Book, admissions_to_keep, judge, new_entries, relevant, take
from p2p_handoff.security.circle_statements import Revocation, SignedCircleStatement, sign_circle_statement
from tests.security.circle_world import admits, book, device, judged, linked, members, revokes

A_B_C = (*linked("a", "b"), *linked("b", "c"))


# --- introductions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("me", "others"), [("a", {"b", "c"}), ("b", {"a", "c"}), ("c", {"a", "b"})])
def test_a_device_linked_to_one_is_known_to_all(me: str, others: set[str]) -> None:
    assert members(me, A_B_C) == others


def test_it_is_told_who_introduced_whom() -> None:
    found = judged("a", A_B_C).members
    assert found[device("b").device].by == device("a").device
    assert found[device("c").device].by == device("b").device


def test_whom_a_person_linked_by_hand_stays_so_whoever_else_introduces_it() -> None:
    said = (*A_B_C, *linked("a", "c"))
    assert judged("a", said).members[device("c").device].by == device("a").device


def test_the_keys_of_a_member_are_the_ones_that_were_introduced() -> None:
    assert judged("a", A_B_C).members[device("c").device].identity == device("c").public


@given(st.permutations([*A_B_C, *linked("c", "d"), revokes("d", "b"), *linked("a", "b", 2), revokes("a", "c")]))
@settings(max_examples=25, deadline=None)
def test_the_order_in_which_statements_come_does_not_matter(said: list[SignedCircleStatement]) -> None:
    assert judged("a", said) == judged("a", sorted(said, key=lambda item: item.digest))


STATEMENTS = st.one_of(
    st.builds(admits, st.sampled_from("abcde"), st.sampled_from("vwxyz"), st.integers(1, 3)),
    st.builds(
        lambda pair, number: admits(*pair, number), st.permutations("abcde").map(lambda p: p[:2]), st.integers(1, 3)
    ),
    st.builds(
        lambda pair, number, disowns: revokes(*pair, number, disowns=disowns),
        st.permutations("abcde").map(lambda p: p[:2]),
        st.integers(1, 3),
        st.booleans(),
    ),
)


@given(st.lists(STATEMENTS, max_size=14), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_set_of_statements_has_one_meaning(said: list[SignedCircleStatement], source: random.Random) -> None:
    """Taken at once or one by one with repetitions, shuffled, kept in a store between: the same members."""
    once = judge(relevant(take(Book(device("a").public), said).book))
    shuffled = [*said, *said]
    source.shuffle(shuffled)
    held = Book(device("a").public)
    for _ in said:  # As often as devices may have to meet until the last one is heard.
        for signed in shuffled:
            held = new_entries(Book(held.me), take(held, [signed]).book.statements())
    assert judge(relevant(held)).members == once.members
    assert judge(relevant(held)).expelled == once.expelled


@given(st.lists(STATEMENTS, max_size=14))
@settings(max_examples=40, deadline=None)
def test_a_member_is_vouched_for_by_a_chain_of_members(said: list[SignedCircleStatement]) -> None:
    found = judged("a", said)
    for name, member in found.members.items():
        assert found.number_of(name) < member.number
        path = [name]
        while (by := found.members[path[-1]].by) != device("a").device:
            assert by in found.members
            assert by not in path
            path.append(by)


# --- revocations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("me", ["a", "c"])
def test_a_revocation_by_any_member_reaches_all(me: str) -> None:
    said = (*A_B_C, *linked("a", "c"), revokes("c", "b"))
    assert members(me, said) == {"a", "c"} - {me}


def test_a_revocation_wins_over_an_introduction_that_did_not_know_of_it() -> None:
    assert members("a", (*A_B_C, *linked("a", "d"), revokes("d", "c"))) == {"b", "d"}


def test_a_revoked_device_knows_that_it_is_and_by_whom() -> None:
    found = judged("c", (*A_B_C, revokes("a", "c")))
    assert found.expelled is not None
    assert found.expelled.signer == device("a").device
    assert not found.members


def test_a_revoked_device_neither_readmits_itself_nor_introduces_others() -> None:
    said = (*A_B_C, revokes("a", "c"), admits("c", "z"), admits("z", "c", 2), *linked("c", "y", 2))
    assert members("a", said) == {"b"}
    assert members("b", said) == {"a"}


def test_a_device_does_not_speak_about_itself() -> None:
    with pytest.raises(Exception, match="a device speaks for itself, and about others"):
        admits("c", "c", 2)


def test_a_new_code_brings_a_revoked_device_back_at_all_of_them() -> None:
    said = (*A_B_C, revokes("a", "c"), *linked("b", "c", 2))
    assert members("a", said) == {"b", "c"}
    assert members("c", said) == {"a", "b"}
    assert judged("c", said).expelled is None


def test_who_goes_takes_nobody_along_whom_another_member_vouches_for() -> None:
    """c is known to a through b alone; a vouches for it before b goes."""
    held = book("a", A_B_C)
    kept = admissions_to_keep(held, judge(held))
    assert [member.name for _, member in kept] == ["c"]
    assert members("a", (*A_B_C, revokes("a", "b"))) == set()
    assert members("a", (*A_B_C, revokes("a", "b"), admits("a", "c"))) == {"c"}


# --- a member in other hands ------------------------------------------------------------------------

DENIAL = (*A_B_C, *linked("c", "thief"), revokes("thief", "a"), revokes("thief", "b"), revokes("thief", "c"))


def test_a_stolen_member_may_revoke_all_and_wins_nothing_but_that() -> None:
    for me in "abc":
        assert members(me, DENIAL) == set()
        assert judged(me, DENIAL).expelled is not None


def test_who_disowns_it_has_the_others_back_without_a_code() -> None:
    assert members("a", (*DENIAL, revokes("a", "thief", disowns=True))) == {"b", "c"}
    assert members("c", (*DENIAL, revokes("c", "thief", disowns=True))) == {"a", "b"}


def test_a_revocation_without_disowning_leaves_standing_what_a_device_said() -> None:
    """Else a device that is retired later would bring back the stolen one that it revoked."""
    said = (*A_B_C, *linked("a", "old"), revokes("old", "c"), revokes("a", "old"))
    assert members("a", said) == {"b"}


def test_numbers_burnt_to_the_end_are_undone_by_disowning_too() -> None:
    burnt = (*A_B_C, revokes("c", "b", 2**53))
    assert members("a", burnt) == set()
    assert members("a", (*burnt, revokes("a", "c", disowns=True))) == {"b"}


def test_a_disowned_device_comes_back_by_a_code_of_this_device_only() -> None:
    disowned = (*A_B_C, revokes("a", "c", disowns=True))
    assert members("a", (*disowned, *linked("b", "c", 2))) == {"b"}
    assert members("a", (*disowned, *linked("a", "c", 2))) == {"b", "c"}


# --- forgeries and floods ---------------------------------------------------------------------------


def test_statements_of_strangers_are_refused_and_mean_nothing() -> None:
    taken = take(book("a", A_B_C), [admits("stranger", "x"), revokes("stranger", "b")])
    assert taken.refused == ("it is signed by a device that is not known as an own one",)
    assert not taken.fresh


def test_a_forged_signature_is_refused() -> None:
    genuine = revokes("b", "c")
    forged = replace(genuine, signature=bytes(64))
    other = SignedCircleStatement(genuine.body, revokes("c", "b").signature)
    taken = take(book("a", A_B_C), [forged, other])
    assert taken.refused == ("a signature does not belong to the device that it names",)
    assert {member.name for member in judge(taken.book).members.values()} == {"b", "c"}


def test_a_statement_that_is_repeated_changes_nothing() -> None:
    held = book("a", (*A_B_C, *linked("b", "c", 2)))
    taken = take(held, [*A_B_C, *A_B_C])
    assert not taken.fresh
    assert taken.book.statements() == held.statements()


def test_an_older_statement_cannot_be_replayed_over_a_newer_one() -> None:
    held = book("a", (*A_B_C, revokes("b", "c"), *linked("b", "c", 2)))
    assert members("a", (*held.statements(), admits("b", "c", 1), revokes("b", "c", 1))) == {"b", "c"}


def test_a_member_that_floods_fills_its_own_share_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circle, "MAX_CIRCLE_BY_SIGNER", 8)
    flood = [_about_nobody("c", number) for number in range(10_000)]
    taken = take(book("a", A_B_C), flood)
    assert sum(entry.statement.signer == device("c").device for entry in taken.book.entries.values()) == 8
    assert taken.refused == ("a device says more about own devices than anybody has",)
    assert {member.name for member in judge(taken.book).members.values()} == {"b", "c"}
    after = take(taken.book, [*linked("b", "d"), revokes("b", "c")])
    assert {member.name for member in judge(after.book).members.values()} == {"b", "d"}


def test_what_one_says_oneself_always_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circle, "MAX_CIRCLE_STATEMENTS", len(A_B_C))
    full = book("a", A_B_C)
    assert not take(full, [revokes("b", "c")]).fresh
    assert take(full, [revokes("a", "c")]).fresh


def test_a_full_book_travels_in_messages_that_have_bounds() -> None:
    assert limits.MAX_CIRCLE_BATCH * limits.MAX_CIRCLE_BATCH >= MAX_CIRCLE_STATEMENTS >= MAX_CIRCLE_BY_SIGNER


def test_who_is_disowned_leaves_nothing_in_the_book() -> None:
    held = book("a", (*A_B_C, admits("c", "x"), revokes("c", "y"), revokes("a", "c", disowns=True)))
    signers = {signed.read().signer for signed in relevant(held).statements()}
    assert signers == {device("a").device, device("b").device}


def test_a_damaged_store_is_said_to_be_one() -> None:
    with pytest.raises(TrustError, match="damaged"):
        new_entries(Book(device("a").public), [SignedCircleStatement(b"\x80", bytes(64))])


def _about_nobody(signer: str, number: int) -> SignedCircleStatement:
    by = device(signer)
    nobody = device("z").device[:-5] + "".join("abcdefghij"[int(digit)] for digit in f"{number:05}")
    return sign_circle_statement(by, Revocation(by.device, nobody, 1, disowns=False))  # type: ignore[arg-type]  # an id
