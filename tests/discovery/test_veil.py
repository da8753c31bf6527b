# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.discovery.veil import (
    MAX_TAGS,
    TAG_STEP,
    Acquaintances,
    Veil,
    draw,
    is_veiled,
    read_veil,
    recognise,
    tag_strings,
)
from p2p_handoff.ids import DeviceId, device_id
from p2p_handoff.security.recognition import TAG_BYTES


def devices(count: int) -> list[DeviceId]:
    return [device_id(str(number).encode()) for number in range(count)]


def circle(count: int) -> dict[DeviceId, Acquaintances]:
    """Devices of which each knows each other one."""
    everybody = devices(count)
    keys = {frozenset((a, b)): os.urandom(32) for a in everybody for b in everybody if a != b}
    return {
        me: Acquaintances(me, {other: keys[frozenset((me, other))] for other in everybody if other != me})
        for me in everybody
    }


def carried(veil: Veil) -> Veil:
    """What arrives of it."""
    return read_veil(veil.label, {key.encode(): value for key, value in tag_strings(veil).items()})


@given(st.integers(2, 12), st.integers(0, 2**32))
def test_every_acquaintance_recognises_the_speaker_and_nobody_else_does(count: int, seed: int) -> None:
    everybody, others = circle(count), circle(count)
    for me, known in everybody.items():
        seen = carried(draw(known, Random(seed).randbytes))
        assert {recognise(seen, everybody[listener]) for listener in known.keys} == {me}
        # The same devices with other keys, and the speaker itself.
        assert {recognise(seen, others[listener]) for listener in known.keys} == {None}
        assert recognise(seen, known) is None


def test_a_tag_under_another_label_is_not_recognised() -> None:
    laptop, desktop = circle(2).values()
    veil, other = draw(laptop, os.urandom), draw(laptop, os.urandom)
    assert recognise(Veil(other.label, veil.tags), desktop) is None


@pytest.mark.parametrize(("known", "shown"), [(0, 8), (1, 8), (8, 8), (9, 16), (23, 24), (25, 32), (64, 64), (70, 64)])
def test_the_number_of_tags_tells_little(known: int, shown: int) -> None:
    me, *others = devices(known + 1)
    veil = draw(Acquaintances(me, dict.fromkeys(others, b"k" * 32)), os.urandom)
    assert len(veil.tags) == len(set(veil.tags)) == shown
    assert carried(veil) == veil


def test_beyond_the_bound_the_last_ones_are_left_out() -> None:
    me, *others = devices(MAX_TAGS + 2)
    veil = draw(Acquaintances(me, dict.fromkeys(others, b"k" * 32)), os.urandom)
    recognising = [other for other in others if recognise(veil, Acquaintances(other, {me: b"k" * 32})) == me]
    assert recognising == others[:MAX_TAGS]


def test_the_order_of_the_tags_tells_nothing() -> None:
    me, *others = devices(TAG_STEP)
    veil = draw(Acquaintances(me, dict.fromkeys(others, b"k" * 32)), os.urandom)
    assert list(veil.tags) == sorted(veil.tags)


def test_two_appearances_have_nothing_in_common() -> None:
    known = next(iter(circle(5).values()))
    one, other = draw(known, os.urandom), draw(known, os.urandom)
    assert one.label != other.label
    assert not set(one.tags) & set(other.tags)


@pytest.mark.parametrize("count", [8, 24, 32, 64])
def test_every_string_fits_a_txt_record(count: int) -> None:
    strings = tag_strings(Veil("a" * 26, (bytes(TAG_BYTES),) * count))
    assert all(len(f"{key}=") + len(value) <= 255 for key, value in strings.items())
    assert sum(map(len, strings.values())) == count * TAG_BYTES


def test_keys_are_not_printed() -> None:
    assert "6b6b" not in repr(Acquaintances(devices(1)[0], {devices(1)[0]: b"kkkk"}))
    assert "kkkk" not in repr(Acquaintances(devices(1)[0], {devices(1)[0]: b"kkkk"}))


def test_a_record_without_tags_is_not_veiled() -> None:
    assert not is_veiled({b"id": b"x"})
    assert is_veiled({b"t0": None})
