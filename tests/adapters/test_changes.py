# SPDX-License-Identifier: Apache-2.0
"""The account of what changed."""

from __future__ import annotations

from p2p_handoff.adapters.changes import MAX_CHANGES, ChangeLog, Changes


def known() -> ChangeLog:
    log = ChangeLog()
    log.take()
    return log


def test_nothing_is_known_before_somebody_looked() -> None:
    assert ChangeLog().take() is None


def test_what_was_taken_is_not_told_again() -> None:
    log = known()
    log.entry(b"a")
    log.tree(b"b")
    assert log.take() == Changes(frozenset({b"a"}), frozenset({b"b"}))
    assert not log.take()


def test_what_was_missed_is_missed_once() -> None:
    log = known()
    log.entry(b"a")
    log.missed()
    assert log.take() is None
    assert log.take() == Changes()


def test_who_is_blind_never_knows() -> None:
    log = known()
    log.blind()
    assert log.take() is None
    assert log.take() is None


def test_more_than_can_be_remembered_is_missed() -> None:
    log = known()
    for number in range(MAX_CHANGES + 1):
        log.entry(b"%d" % number)
    assert log.take() is None
