# SPDX-License-Identifier: Apache-2.0
"""Every outcome stands for one error, and every report for stable keys."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from p2p_handoff import HandoffError, IntegrityError, RejectedError, TimedOutError, UnreachableError
from p2p_handoff.agent.payloads import raise_unless_done
from p2p_handoff.agent.report import Report, first_that_fit, outcome_error
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.outcome import Outcome, Result

STABLE_KEYS = {
    "outcome", "txn", "epoch", "pause_ms", "seconds", "sent_bytes", "received_bytes", "engine", "path", "into",
}  # fmt: skip


def report(error: HandoffError | None = None) -> Report:
    return Report(
        outcome="done" if error is None else "failed",
        txn="t",
        session="s",
        title="work",
        peer="desktop",
        epoch=2,
        seconds=0.5,
        pause_ms=30.0,
        sent_bytes=10,
        received_bytes=0,
        engine="aiortc",
        path="host",
        rounds=1,
        into=("/srv/work",),
        error=error,
    )


@pytest.mark.parametrize(
    ("outcome", "code", "exit_code"),
    [
        (Outcome(Result.REJECTED, RejectReason.DECLINED, "no"), "rejected", 3),
        (Outcome(Result.CANCELLED, RejectReason.CANCELLED), "cancelled", 7),
        (Outcome(Result.IN_DOUBT), "in-doubt", 8),
        (Outcome(Result.FAILED, RejectReason.EXPIRED), "timed-out", 5),
        (Outcome(Result.FAILED, RejectReason.NO_SPACE, "the disk is full"), "no-space", 1),
        (Outcome(Result.FAILED), "unexpected", 1),
    ],
)
def test_an_outcome_is_an_error_with_its_exit_code_and_the_sessions_state(
    outcome: Outcome, code: str, exit_code: int
) -> None:
    error = outcome_error(outcome, "desktop")
    assert error is not None
    assert (error.code, error.exit_code) == (code, exit_code)
    assert error.state
    assert error.sentence.endswith(".")


@pytest.mark.parametrize("result", [Result.FAILED, Result.CANCELLED])
@pytest.mark.parametrize(
    "cause",
    [
        TimedOutError("it took too long"),
        UnreachableError("nobody is there", advice="switch it on"),
        IntegrityError("it is not what it says"),
        RejectedError("no", reason="busy"),
    ],
)
def test_what_went_wrong_on_this_side_keeps_its_kind_and_gets_the_sessions_state(
    cause: HandoffError, result: Result
) -> None:
    error = outcome_error(Outcome(result, RejectReason.FAILED, cause.what), "desktop", cause)
    assert error is not None
    assert (type(error), error.what, error.exit_code) == (type(cause), cause.what, cause.exit_code)
    assert error.advice == (cause.advice or "try again")
    assert "still here" in error.state


def test_what_went_wrong_earlier_is_not_the_reason_of_something_else() -> None:
    error = outcome_error(Outcome(Result.FAILED, RejectReason.FAILED, "the other side"), "desktop", TimedOutError("me"))
    assert error is not None
    assert (error.what, error.exit_code) == ("the other side", 1)


def test_a_target_does_not_say_that_the_session_is_here() -> None:
    error = outcome_error(Outcome(Result.CANCELLED), "laptop", source=False)
    assert error is not None
    assert error.state == "the session stays where it was"


def test_done_is_no_error() -> None:
    assert outcome_error(Outcome(Result.DONE), "desktop") is None


@pytest.mark.parametrize("reason", RejectReason)
def test_a_rejection_without_words_tells_its_reason(reason: RejectReason) -> None:
    error = outcome_error(Outcome(Result.REJECTED, reason), "desktop")
    assert isinstance(error, RejectedError)
    assert error.reason == reason.value
    assert reason.value in error.sentence


def test_of_a_long_list_the_first_are_told_and_the_others_counted() -> None:
    items = [{"path": "x" * 100, "number": number} for number in range(10)]
    size = len(json.dumps(items[0])) + 1
    assert first_that_fit(items, 3 * size) == (items[:3], 7)
    assert first_that_fit(items, 3 * size - 1) == (items[:2], 8)
    assert first_that_fit(items, 100 * size) == (items, 0)
    assert first_that_fit([], 0) == ([], 0)


def test_a_report_is_json_with_the_stable_keys() -> None:
    shown = json.loads(json.dumps(report(HandoffError("it broke")).as_json()))
    assert shown.keys() >= STABLE_KEYS
    assert shown["into"] == ["/srv/work"]
    assert set(shown) == {item.name for item in fields(Report)} - {"error"}


def test_what_is_not_done_raises_and_what_is_done_is_returned() -> None:
    assert raise_unless_done(report()) == report()
    error = HandoffError("it broke")
    with pytest.raises(HandoffError) as caught:
        raise_unless_done(report(error))
    assert caught.value is error
