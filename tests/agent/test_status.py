# SPDX-License-Identifier: Apache-2.0
"""agent.status: what is true of a session, and what is told of a connection."""

from __future__ import annotations

import pytest

from p2p_handoff.agent.status import Direction, Line, SessionState, session_state
from p2p_handoff.content.digests import Digest
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.session.ownership import Frozen, Ownership, Role

ME, OTHER = DeviceId("a" * 32), DeviceId("b" * 32)
SESSION = SessionId("s" * 26)
HERE = Ownership(SESSION, Role.PRIMARY, 3, ME)
FROZEN = Ownership(SESSION, Role.FROZEN, 3, ME, Frozen(TxnId("t" * 26), OTHER, Digest(bytes(32)), 3))
THERE = Ownership(SESSION, Role.SECONDARY, 3, OTHER)
LOST = Ownership(SESSION, Role.SECONDARY, 3, ME)


@pytest.mark.parametrize(
    ("own", "moving", "state"),
    [
        (HERE, None, SessionState.HERE),
        (HERE, Direction.OUT, SessionState.LEAVING),
        (HERE, Direction.IN, SessionState.ARRIVING),
        (FROZEN, Direction.OUT, SessionState.LEAVING),
        (FROZEN, None, SessionState.IN_DOUBT),
        (THERE, Direction.OUT, SessionState.ELSEWHERE),
        (THERE, Direction.IN, SessionState.ARRIVING),
        (THERE, None, SessionState.ELSEWHERE),
        (LOST, None, SessionState.LOST),
    ],
)
def test_the_state_of_a_session(own: Ownership, moving: Direction | None, state: SessionState) -> None:
    assert session_state(own, ME, moving=moving, unplaced=False) is state


def test_what_is_not_in_place_is_said_before_all_else() -> None:
    assert session_state(HERE, ME, moving=Direction.IN, unplaced=True) is SessionState.NOT_IN_PLACE


@pytest.mark.parametrize(("seconds", "told"), [(None, None), (0.000_456_7, 0.46), (1.5, 1500.0)])
def test_a_round_trip_is_told_in_milliseconds(seconds: float | None, told: float | None) -> None:
    line = Line("wrtc", "host", seconds, sending=0.4, receiving=1e6, sent_bytes=1, received_bytes=2)
    assert line.as_json()["round_trip_ms"] == told
