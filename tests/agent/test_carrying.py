# SPDX-License-Identifier: Apache-2.0
"""agent.carrying: effects in order, past a broken wire, up to the first that fails."""

from __future__ import annotations

import logging

import pytest

from p2p_handoff.agent.carrying import as_failure, carry_out
from p2p_handoff.errors import StorageError, UnreachableError
from tests.protocol.grants import TXN


async def test_effects_are_carried_out_in_order() -> None:
    done: list[int] = []

    async def act(effect: int) -> None:
        done.append(effect)

    assert await carry_out(TXN, [1, 2, 3], act) is None
    assert done == [1, 2, 3]


async def test_a_broken_wire_is_passed_over_and_a_failure_ends_the_row() -> None:
    done: list[int] = []
    errors = {1: UnreachableError("it broke"), 2: StorageError("the disk is full")}

    async def act(effect: int) -> None:
        done.append(effect)
        if effect in errors:
            raise errors[effect]

    assert await carry_out(TXN, [1, 2, 3], act) == (2, errors[2])
    assert done == [1, 2]


def test_a_defect_is_reported_in_words_and_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    error = KeyError("x")
    assert as_failure(TXN, 1, error).what == "an unexpected error (KeyError)"
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


def test_what_was_foreseen_keeps_its_kind_and_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    error = StorageError("the disk is full")
    assert as_failure(TXN, 1, error) is error
    assert [record.exc_info for record in caplog.records] == [None]
