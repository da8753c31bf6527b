# SPDX-License-Identifier: Apache-2.0
"""Both machines together, over wires that break: the handoff ends, with exactly one owner."""

from __future__ import annotations

from random import Random

import pytest

from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.protocol.target import TargetState
from tests.protocol.two_devices import Action, World

Script = list[int]
EACH_SEED = pytest.mark.parametrize("seed", range(10))


def scripts(seed: int) -> list[tuple[Random, Script]]:
    """Schedules long enough for several reconnections; the same ones in every run."""
    random = Random(seed)
    return [(random, [random.randrange(60) for _ in range(random.randrange(120))]) for _ in range(60)]


def play(world: World, script: Script, faults: list[Action]) -> None:
    """Let the script choose among what may happen and the faults, then let all come to rest without faults."""
    for number in script:
        # Faults are one choice in six, so that something happens between them.
        choices = faults if number % 6 == 0 and faults else world.steps() or faults
        if choices:
            choices[number // 6 % len(choices)][1]()
        world.check()
    world.run()


def interruptions(world: World) -> list[Action]:
    return [
        ("the wire breaks", world.cut),
        ("the user cancels at the source", world.cancel_at_source),
        ("the user cancels at the target", world.cancel_at_target),
        ("the target loses patience", world.abandon),
    ]


def assert_exactly_one_owner(world: World) -> None:
    source, target = world.source, world.target
    assert source.machine.state is SourceState.ENDED
    assert target.machine is None or target.machine.state in {
        TargetState.RESUMED,
        TargetState.REFUSED,
        TargetState.ENDED,
    }
    assert not source.frozen
    assert source.is_primary != target.accepted


@pytest.mark.parametrize("mode", Mode)
def test_an_undisturbed_handoff_is_done(mode: Mode) -> None:
    world = World(mode)
    world.run()
    assert world.source.outcome == Outcome(Result.DONE)
    assert world.target.machine is not None
    assert world.target.machine.state is TargetState.RESUMED
    assert world.source.released == world.target.accepted == (mode is Mode.MOVE)


def test_large_remainders_and_vanished_objects_cost_rounds() -> None:
    world = World(large_surveys=2, gone_rounds=1)
    world.run()
    assert world.source.outcome == Outcome(Result.DONE)
    assert world.source.machine.round == 4


def test_a_rejected_offer_leaves_the_session_at_the_source() -> None:
    world = World(declines=True)
    world.run()
    assert world.source.outcome == Outcome(Result.REJECTED, RejectReason.DECLINED, "no")
    assert_exactly_one_owner(world)


@EACH_SEED
@pytest.mark.parametrize("mode", Mode)
def test_however_often_the_wire_breaks_the_handoff_is_done(seed: int, mode: Mode) -> None:
    for random, script in scripts(seed):
        world = World(mode, large_surveys=random.randrange(3), gone_rounds=random.randrange(2))
        play(world, script, [("the wire breaks", world.cut)])
        assert world.source.outcome is not None
        assert world.source.outcome.result is Result.DONE
        assert world.target.accepted == (mode is Mode.MOVE)


@EACH_SEED
def test_whoever_cancels_and_restarts_exactly_one_device_owns_the_session(seed: int) -> None:
    for random, script in scripts(seed):
        world = World(declines=random.random() < 0.2)
        restarts: list[Action] = [
            ("the source restarts", world.restart_source),
            ("the target restarts", world.restart_target),
        ]
        play(world, script, [*interruptions(world), *restarts])
        assert_exactly_one_owner(world)


@EACH_SEED
def test_a_copy_ends_whatever_happens_and_moves_no_ownership(seed: int) -> None:
    for _, script in scripts(seed):
        world = World(Mode.COPY)
        play(world, script, interruptions(world))
        assert world.source.machine.state is SourceState.ENDED
        assert world.source.is_primary
        assert not world.target.accepted
        assert not world.target.refused
