# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.errors import TrustError
from p2p_handoff.ids import new_label
from p2p_handoff.security.identity import MLKEM_KEY_BYTES, Identity
from p2p_handoff.security.recognition import TAG_BYTES, recognition_key, recognition_tag

VECTORS = json.loads((Path(__file__).parents[2] / "tests/vectors/discovery.json").read_text())
ALL = [Identity.generate() for _ in range(4)]
KEYS = {(a.device, b.device): recognition_key(a, b.public) for a, b in permutations(ALL, 2)}


def test_both_devices_of_a_pair_have_the_same_key_and_no_two_pairs_do() -> None:
    for a, b in permutations(ALL, 2):
        assert KEYS[a.device, b.device] == KEYS[b.device, a.device]
    assert len(set(KEYS.values())) == len(KEYS) / 2


@given(st.randoms(use_true_random=True))
def test_a_tag_is_that_of_one_speaker_for_one_listener_under_one_label(random: st.DataObject) -> None:
    labels = [new_label(random.randbytes) for _ in range(2)]  # type: ignore[attr-defined]
    tags = [
        recognition_tag(key, label, speaker.device, listener.device)
        for label in labels
        for key in set(KEYS.values())
        for speaker, listener in permutations(ALL, 2)
    ]
    assert len(set(tags)) == len(tags)
    assert {len(tag) for tag in tags} == {TAG_BYTES}


def test_a_key_for_another_use_is_another_key() -> None:
    a, b = ALL[:2]
    assert a.agree(b.public, b"another use") != KEYS[a.device, b.device]


def test_a_degenerate_key_is_refused() -> None:
    a, b = ALL[:2]
    bad = replace(b.public, kem_key=b.public.kem_key[:MLKEM_KEY_BYTES] + bytes(32))
    with pytest.raises(TrustError):
        recognition_key(a, bad)


def test_golden_bytes() -> None:
    speaker, listener = (
        Identity.from_bytes(bytes.fromhex(VECTORS[side]["identity"])) for side in ("speaker", "listener")
    )
    key = recognition_key(speaker, listener.public)
    assert (speaker.device, listener.device) == (VECTORS["speaker"]["device"], VECTORS["listener"]["device"])
    assert key.hex() == VECTORS["key"]
    assert recognition_tag(key, VECTORS["label"], speaker.device, listener.device).hex() == VECTORS["tag"]
    assert recognition_tag(key, VECTORS["label"], listener.device, speaker.device).hex() == VECTORS["tag_back"]
