# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from p2p_handoff.errors import HandoffError, LinkCodeError, NotFoundError, RejectedError, UnreachableError
from signaling.messages import Farewell, Refusal, RoomEnd
from signaling.refusals import FAREWELLS, ROOM_ENDS, refusal_error


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal.ABSENT, UnreachableError),
        (Refusal.BUSY, UnreachableError),
        (Refusal.FORBIDDEN, RejectedError),
        (Refusal.TAKEN, RejectedError),
        (Refusal.NO_ROOM, NotFoundError),
        (Refusal.CROWDED, LinkCodeError),
        (Refusal.BURNT, LinkCodeError),
        (Refusal.FULL, RejectedError),
        (Refusal.TOO_FAST, RejectedError),
    ],
)
def test_a_refusal_is_the_error_that_the_specification_names(refusal: Refusal, kind: type[HandoffError]) -> None:
    error = refusal_error(refusal)
    assert type(error) is kind
    assert error.sentence.endswith(".")


def test_a_rejection_carries_its_machine_readable_reason() -> None:
    error = refusal_error(Refusal.TAKEN)
    assert isinstance(error, RejectedError)
    assert error.reason == "taken"


def test_every_reason_has_words() -> None:
    assert set(FAREWELLS) == set(Farewell)
    assert set(ROOM_ENDS) == set(RoomEnd)
    assert all(refusal_error(refusal).what for refusal in Refusal)
