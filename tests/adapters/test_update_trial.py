# SPDX-License-Identifier: Apache-2.0
"""Updates are tried out in another process, which may die, hang or grow: a typed error, and the next one works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters.update_trial import UpdateTrial
from p2p_handoff.errors import IntegrityError, StorageError
from p2p_handoff.session.document import LineDocument

PANICS_LATER = bytes.fromhex(
    "010100010000000a7402630a00420a740000007f01010264010101010264010101010169d916987f65531031cb2d02"
)
"""It is taken, and the library panics when the document is asked for its updates."""


def update(data: bytes = b"one\ntwo\n") -> bytes:
    document = LineDocument.empty(1)
    document.append(data)
    return document.update_since()


@pytest.fixture
def trial() -> Iterator[UpdateTrial]:
    trial = UpdateTrial()
    yield trial
    trial.close()


def running(script: str, seconds: float = 60.0) -> UpdateTrial:
    """A trial whose process runs a script instead."""
    return UpdateTrial((sys.executable, "-c", script), seconds)


def test_good_updates_pass_and_one_process_serves_many_trials(trial: UpdateTrial) -> None:
    trial.warm()
    first = trial._process
    for size in (0, 1, 70_000):
        trial([update(b"x\n" * size)] if size else [])
    trial([update(b"a" * 1_000_000 + b"\n")] * 3)
    assert trial._process is first


def test_the_size_of_the_agent_is_not_taken_for_the_processs_own(trial: UpdateTrial) -> None:
    ballast = bytearray(b"x" * (160 << 20))
    trial([update()])
    first = trial._process
    trial([update()])
    assert trial._process is first
    assert len(ballast) == 160 << 20


@pytest.mark.parametrize("bad", [b"", b"\xff" * 100, PANICS_LATER], ids=["nothing", "junk", "a panic"])
def test_a_bad_update_is_refused_and_the_next_trial_works(trial: UpdateTrial, bad: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be applied"):
        trial([update(), bad])
    trial([update()])


def test_a_process_that_dies_of_an_update_is_a_refusal() -> None:
    dying = running("import os, sys; sys.stdin.buffer.read(8); os.abort()")
    with pytest.raises(IntegrityError):
        dying([update()])
    assert dying._process is None


def test_a_process_that_hangs_is_ended() -> None:
    hanging = running("import time\nwhile True: time.sleep(60)", seconds=0.2)
    hanging.warm()
    process = hanging._process
    assert process is not None
    with pytest.raises(IntegrityError):
        hanging([update()])
    assert process.returncode is not None


def test_a_process_that_does_not_read_does_not_block_the_agent() -> None:
    deaf = running("import time; time.sleep(600)", seconds=0.2)
    with pytest.raises(IntegrityError):
        deaf([bytes(1_000_000)])


def test_updates_that_need_too_much_memory_are_refused() -> None:
    script = (
        "import p2p_handoff.adapters.update_trial_process as process\n"
        "process.use = lambda updates: [bytearray(1 << 27) for _ in range(8)]\n"
        "process.main()"
    )
    greedy = running(script)
    with pytest.raises(IntegrityError):
        greedy([update()])
    greedy.close()


def test_a_process_that_ended_when_idle_is_started_again(trial: UpdateTrial) -> None:
    trial([update()])
    first = trial._process
    assert first is not None
    first.kill()
    first.wait()
    trial([update()])
    assert trial._process is not first


def test_the_death_of_a_process_that_worked_before_is_not_blamed_on_the_next_update(tmp_path: Path) -> None:
    """It may have ended, idle, in the moment in which it was given a job."""
    script = (
        f"import os, sys\nfirst = not os.path.exists({str(tmp_path / 'once')!r})\n"
        f"open({str(tmp_path / 'once')!r}, 'w').close()\n"
        "from p2p_handoff.adapters import update_trial_process as process\n"
        "job = process._job(sys.stdin.buffer)\nsys.stdout.buffer.write(b'\\x01'); sys.stdout.buffer.flush()\n"
        "job = process._job(sys.stdin.buffer)\n"
        "if first: os._exit(1)\n"
        "sys.stdout.buffer.write(b'\\x01'); sys.stdout.buffer.flush(); process._job(sys.stdin.buffer)"
    )
    once = running(script)
    once([update()])
    once([update()])
    once.close()


def test_where_no_process_can_be_started_it_is_an_error_of_this_device() -> None:
    with pytest.raises(StorageError, match="cannot be started"):
        UpdateTrial(("/nowhere/python",))([update()])


def test_the_process_ends_with_the_agent(trial: UpdateTrial) -> None:
    trial.warm()
    process = trial._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait() == 0
