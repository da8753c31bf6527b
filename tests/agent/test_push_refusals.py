# SPDX-License-Identifier: Apache-2.0
"""agent.push_refusals: every reason against a push has words."""

from __future__ import annotations

import pytest

from p2p_handoff.agent.push_refusals import About, refusal
from p2p_handoff.errors import TrustError
from p2p_handoff.protocol.wishes import Push
from p2p_handoff.session.ownership import begin
from p2p_handoff.store.records import SessionRecord
from tests.session.ownership_world import device, session_id

RECORD = SessionRecord(session_id(), "essay", 0.0, None, begin(session_id(), device(1).device), b"")
ABOUT = About(RECORD, "laptop", "desktop")


def test_nothing_stands_in_the_way_of_a_push_that_may_begin() -> None:
    assert refusal(Push.BEGIN, ABOUT) is None


@pytest.mark.parametrize("push", [push for push in Push if push is not Push.BEGIN])
def test_every_other_verdict_has_a_sentence_with_advice(push: Push) -> None:
    error = refusal(push, ABOUT)
    assert error is not None
    assert error.what
    assert error.advice


@pytest.mark.parametrize("push", [Push.LOST, Push.OLD_HERE, Push.OLD_THERE])
def test_homes_that_forgot_are_a_matter_of_trust(push: Push) -> None:
    assert isinstance(refusal(push, ABOUT), TrustError)
