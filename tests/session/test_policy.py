# SPDX-License-Identifier: Apache-2.0
"""Which table decides: laws that hold for all settings."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.ids import DeviceId, PartId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.policy import (
    ALL_TYPES,
    DEFAULTS,
    STRANGER,
    General,
    Known,
    Piece,
    Policy,
    Rule,
    Table,
    Verdict,
    fitting,
    policy_of,
    unclear,
)

KINDS = ("folder", "conversation")
MATTERS = [item.name for item in fields(Rule)]
SAID: dict[str, st.SearchStrategy[Any]] = {
    "push": st.sampled_from(Verdict),
    "take": st.sampled_from(Verdict),
    "may_leave": st.frozensets(st.sampled_from(PartType)),
    "into": st.sampled_from(["/a", "/b", "/c"]),
}
rules = st.builds(Rule, **{name: st.none() | said for name, said in SAID.items()})
tables = st.builds(Table, rules, st.dictionaries(st.sampled_from(KINDS), rules))
policies = st.builds(Policy, st.tuples(tables, tables), st.sampled_from(list(DEFAULTS.values())))
kinds = st.sampled_from(KINDS)
pieces = st.lists(
    st.builds(Piece, st.integers(1, 9).map(lambda n: PartId(f"p{n}")), st.sampled_from(PartType), kinds),
    unique_by=lambda piece: piece.id,
)

FOLDER = Piece(PartId("p1"), PartType.FILES, "folder")
TALK = Piece(PartId("p2"), PartType.MESSAGES, "conversation")


def known(name: str, letter: str, kind: LinkKind = LinkKind.OWN) -> Known:
    return Known(DeviceId(letter * 32), name, kind)


LAPTOP, PHONE = known("Laptop", "l"), known("phone", "p")
ANNA = known("anna", "a", LinkKind.OTHER)
EVERYBODY = (LAPTOP, PHONE, ANNA)


def of(peer: Known, devices: dict[str, Table] | None = None, general: General | None = None) -> Policy:
    return policy_of(peer, general or General(), devices or {}, EVERYBODY)


@given(policies, kinds, st.sampled_from(MATTERS), st.data())
def test_the_device_and_its_kind_have_the_last_word(
    policy: Policy, kind: str, matter: str, data: st.DataObject
) -> None:
    said = data.draw(SAID[matter])
    first = policy.tables[0]
    rule = replace(first.kinds.get(kind, Rule()), **{matter: said})
    changed = replace(policy, tables=(replace(first, kinds={**first.kinds, kind: rule}), *policy.tables[1:]))
    assert getattr(changed.terms(kind), matter) == said


@given(policies, kinds, st.sampled_from(MATTERS))
def test_the_most_specific_table_that_speaks_decides_and_silence_decides_nothing(
    policy: Policy, kind: str, matter: str
) -> None:
    order = [rule for table in policy.tables for rule in (table.kinds.get(kind, Rule()), table.rule)]
    said = [getattr(rule, matter) for rule in (*order, policy.default)]
    expected = next((value for value in said if value is not None), None)
    assert getattr(policy.terms(kind), matter) == expected


@given(policies, kinds)
def test_what_is_said_of_another_kind_changes_nothing(policy: Policy, kind: str) -> None:
    without = tuple(replace(table, kinds={kind: table.kinds.get(kind, Rule())}) for table in policy.tables)
    assert replace(policy, tables=without).terms(kind) == policy.terms(kind)


@given(policies, pieces)
def test_nothing_that_may_not_leave_can_be_taken_and_nothing_refused_is_pushed(
    policy: Policy, parts: list[Piece]
) -> None:
    taken, pushed = policy.judge_take(parts), policy.judge_push(parts)
    assert policy.withheld(parts) <= taken.without
    for judgement, matter in ((taken, "take"), (pushed, "push")):
        left = [piece for piece in parts if piece.id not in judgement.without]
        verdicts = {getattr(policy.terms(piece.kind), matter) for piece in left}
        assert Verdict.REFUSE not in verdicts
        assert (judgement.verdict is Verdict.REFUSE) == (not left)
        if left:
            assert (judgement.verdict is Verdict.ASK) == (Verdict.ASK in verdicts)


@given(st.dictionaries(st.sampled_from(["laptop", "PHONE", "a", "nobody", "pp"]), tables))
def test_a_device_that_is_not_linked_may_do_nothing_whatever_the_settings_say(devices: dict[str, Table]) -> None:
    assert policy_of(None, General(), devices, EVERYBODY) == STRANGER
    assert STRANGER.judge_push([FOLDER]).verdict is Verdict.REFUSE
    assert STRANGER.judge_take([FOLDER]).verdict is Verdict.REFUSE
    assert STRANGER.withheld([FOLDER, TALK]) == {FOLDER.id, TALK.id}


def test_without_settings_own_devices_need_not_ask_and_others_ask_and_never_take() -> None:
    own, other = of(LAPTOP).terms("folder"), of(ANNA).terms("folder")
    assert (own.push, own.take, own.may_leave, own.into) == (Verdict.ACCEPT, Verdict.ACCEPT, ALL_TYPES, None)
    assert (other.push, other.take, other.may_leave, other.into) == (Verdict.ASK, Verdict.REFUSE, ALL_TYPES, None)


def test_each_sort_of_device_has_its_own_general_table() -> None:
    general = General(own=Table(Rule(into="/own")), other=Table(Rule(into="/other")))
    assert of(PHONE, general=general).terms("folder").into == "/own"
    assert of(ANNA, general=general).terms("folder").into == "/other"


@pytest.mark.parametrize("key", ["anna", "ANNA", "a" * 32, "aaaaaaaa", "a"])
def test_a_device_is_named_by_its_name_or_the_beginning_of_its_id(key: str) -> None:
    policy = of(ANNA, {key: Table(Rule(take=Verdict.ASK))})
    assert policy.terms("folder").take is Verdict.ASK
    assert of(LAPTOP, {key: Table(Rule(take=Verdict.ASK))}).terms("folder").take is Verdict.ACCEPT


def test_a_name_that_nobody_has_changes_nothing() -> None:
    assert of(LAPTOP, {"nobody": Table(Rule(push=Verdict.REFUSE))}).terms("folder") == of(LAPTOP).terms("folder")
    assert fitting("", EVERYBODY) == ()


def test_a_name_that_fits_two_devices_opens_nothing_to_either() -> None:
    imitator = known("LAPTOP", "x", LinkKind.OTHER)
    linked, devices = (LAPTOP, imitator, PHONE), {"laptop": Table(Rule(push=Verdict.ACCEPT))}
    assert [item.devices for item in unclear(devices, linked)] == [(LAPTOP.device, imitator.device)]
    for peer in (LAPTOP, imitator):
        assert policy_of(peer, General(), devices, linked).terms("folder").push is Verdict.REFUSE
    assert policy_of(PHONE, General(), devices, linked).terms("folder").push is Verdict.ACCEPT


def test_a_device_that_calls_itself_as_the_id_of_another_begins_is_noticed() -> None:
    imitator = known(LAPTOP.device[:8], "x", LinkKind.OTHER)
    linked, devices = (LAPTOP, imitator), {LAPTOP.device[:8]: Table(Rule(push=Verdict.ACCEPT))}
    assert policy_of(imitator, General(), devices, linked).terms("folder").push is Verdict.REFUSE


def test_two_tables_of_one_device_are_not_clear() -> None:
    devices = {"laptop": Table(Rule(push=Verdict.REFUSE)), "l" * 8: Table(Rule(push=Verdict.ACCEPT))}
    assert [item.key for item in unclear(devices, EVERYBODY)] == ["l" * 8]
    assert of(LAPTOP, devices).terms("folder").push is Verdict.REFUSE


def test_one_part_that_needs_a_person_makes_the_whole_offer_need_one() -> None:
    table = Table(Rule(push=Verdict.ACCEPT), {"folder": Rule(push=Verdict.ASK)})
    judged = of(ANNA, {"anna": table}).judge_push([FOLDER, TALK])
    assert (judged.verdict, judged.without) == (Verdict.ASK, frozenset())


def test_a_refused_part_is_left_out_and_the_rest_goes_on() -> None:
    table = Table(Rule(), {"folder": Rule(push=Verdict.REFUSE)})
    judged = of(LAPTOP, {"laptop": table}).judge_push([FOLDER, TALK])
    assert (judged.verdict, judged.without) == (Verdict.ACCEPT, frozenset((FOLDER.id,)))
