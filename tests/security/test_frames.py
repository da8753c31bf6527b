# SPDX-License-Identifier: Apache-2.0
"""Frames open in order, on their own channel, in their own direction, unaltered; or nothing opens any more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.errors import LocalProtocolError, SealError, TrustError
from p2p_handoff.limits import MAX_NATIVE_FRAME
from p2p_handoff.security.frames import (
    FRAME_OVERHEAD,
    FRAMES_PER_KEY,
    FrameKey,
    FrameOpener,
    FrameSealer,
    check_proof,
    prove,
)
from p2p_handoff.security.identity import Identity

KEY = FrameKey(bytes(range(32)), b"control from dialler")
TRANSCRIPT = b"t" * 32
VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "frames.json").read_text())

DIALLER = Identity.generate()
ANSWERER = Identity.generate()


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_frames_open_in_the_order_in_which_they_were_sealed(messages: list[bytes]) -> None:
    sealer, opener = FrameSealer(KEY), FrameOpener(KEY)
    frames = [sealer.seal(message) for message in messages]
    assert [len(frame) for frame in frames] == [len(message) + FRAME_OVERHEAD for message in messages]
    assert [opener.open(frame) for frame in frames] == messages


def test_equal_messages_make_different_frames() -> None:
    sealer = FrameSealer(KEY)
    assert sealer.seal(b"same") != sealer.seal(b"same")


def test_any_buffer_can_be_sealed_and_opened() -> None:
    frame = FrameSealer(KEY).seal(memoryview(b"bytes"))
    assert FrameOpener(KEY).open(bytearray(frame)) == b"bytes"


@given(st.integers(0, 20), st.integers(1, 255))
def test_an_altered_byte_closes_the_channel_for_good(position: int, flip: int) -> None:
    sealer, opener = FrameSealer(KEY), FrameOpener(KEY)
    frame = bytearray(sealer.seal(b"hello"))
    frame[position] ^= flip
    following = sealer.seal(b"more")
    for data in (bytes(frame), following):
        with pytest.raises(SealError):
            opener.open(data)


def test_a_replayed_frame_does_not_open() -> None:
    frame, opener = FrameSealer(KEY).seal(b"once"), FrameOpener(KEY)
    opener.open(frame)
    with pytest.raises(SealError):
        opener.open(frame)


def test_a_frame_that_overtook_another_does_not_open() -> None:
    sealer = FrameSealer(KEY)
    sealer.seal(b"first")
    with pytest.raises(SealError):
        FrameOpener(KEY).open(sealer.seal(b"second"))


@given(st.integers(0, 20))
def test_a_truncated_frame_does_not_open(length: int) -> None:
    with pytest.raises(SealError):
        FrameOpener(KEY).open(FrameSealer(KEY).seal(b"hello")[:length])


@pytest.mark.parametrize("other", [FrameKey(KEY.secret, b"bulk from dialler"), FrameKey(bytes(32), KEY.label)])
def test_a_frame_of_another_channel_does_not_open(other: FrameKey) -> None:
    with pytest.raises(SealError):
        FrameOpener(other).open(FrameSealer(KEY).seal(b"hello"))


def test_the_largest_frame_passes_and_a_larger_one_is_refused_on_both_sides() -> None:
    largest = bytes(MAX_NATIVE_FRAME - FRAME_OVERHEAD)
    assert FrameOpener(KEY).open(FrameSealer(KEY).seal(largest)) == largest
    with pytest.raises(LocalProtocolError):
        FrameSealer(KEY).seal(largest + b"\0")
    with pytest.raises(SealError, match="larger"):
        FrameOpener(KEY).open(bytes(MAX_NATIVE_FRAME + 1))


def test_both_sides_step_to_the_next_key_at_the_same_frame() -> None:
    sealer, opener = FrameSealer(KEY), FrameOpener(KEY)
    for _ in range(FRAMES_PER_KEY):
        opener.open(sealer.seal(b""))
    frame = sealer.seal(b"under the next key")
    assert sealer._counter._key == KEY.stepped()
    assert opener.open(frame) == b"under the next key"


def test_a_key_of_the_wrong_length_is_a_defect_and_a_key_never_shows() -> None:
    with pytest.raises(LocalProtocolError):
        FrameKey(bytes(16), b"")
    assert "000102" not in repr(KEY)
    assert not re.search("secret", repr(KEY))


@pytest.mark.parametrize("dialler", [True, False])
def test_a_proof_shows_who_is_at_the_other_end(dialler: bool) -> None:
    check_proof(DIALLER.public, TRANSCRIPT, dialler=dialler, signature=prove(DIALLER, TRANSCRIPT, dialler=dialler))


def test_a_proof_cannot_be_reflected_moved_or_made_by_another() -> None:
    proof = prove(DIALLER, TRANSCRIPT, dialler=True)
    with pytest.raises(TrustError):
        check_proof(DIALLER.public, TRANSCRIPT, dialler=False, signature=proof)
    with pytest.raises(TrustError):
        check_proof(DIALLER.public, b"u" * 32, dialler=True, signature=proof)
    with pytest.raises(TrustError):
        check_proof(ANSWERER.public, TRANSCRIPT, dialler=True, signature=proof)
    with pytest.raises(TrustError):
        check_proof(DIALLER.public, TRANSCRIPT, dialler=True, signature=b"")


def test_the_golden_frames_are_what_this_code_makes() -> None:
    key = FrameKey(bytes.fromhex(VECTORS["key"]), VECTORS["label"].encode())
    sealer = FrameSealer(key)
    assert [sealer.seal(bytes.fromhex(item["plain"])).hex() for item in VECTORS["frames"]] == [
        item["frame"] for item in VECTORS["frames"]
    ]
    assert key.stepped().secret.hex() == VECTORS["next_key"]


def test_the_golden_proofs_are_what_this_code_makes() -> None:
    identity = Identity.from_bytes(bytes.fromhex(VECTORS["identity"]))
    transcript = bytes.fromhex(VECTORS["exchange"]["transcript"])
    assert prove(identity, transcript, dialler=True).hex() == VECTORS["proof_dialler"]
    assert prove(identity, transcript, dialler=False).hex() == VECTORS["proof_answerer"]
