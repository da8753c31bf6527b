# SPDX-License-Identifier: Apache-2.0
"""Scenarios of a network that breaks at every stage of a handoff, and heals."""

from __future__ import annotations

from collections.abc import Callable

from tests.network.faults import CUT, Faults
from tests.network.peer import Answer, Command, until
from tests.network.stage import PATIENCE, SETTLED, MomentMissedError, Stage
from tests.network.trees import MIB

CLEAR = Faults()
Cut = Callable[[Stage], None]


def both_ways(stage: Stage) -> None:
    stage.laptop.host.cable.cut()


def source_hears_nothing(stage: Stage) -> None:
    stage.laptop.host.cable.set(inward=CUT, purge=True)


def target_hears_nothing(stage: Stage) -> None:
    stage.laptop.host.cable.set(outward=CUT, purge=True)


def before_the_offer(stage: Stage) -> Answer:
    stage.on_one_network()
    stage.session()
    both_ways(stage)
    first = stage.pushed()
    stage.laptop.host.cable.both(CLEAR)
    return first


def while_reviewing(stage: Stage) -> Answer:
    """Someone else's device is asked, and its person says yes while nobody hears it."""
    stage.on_one_network(kind="other")
    stage.session()
    watching, pushing = stage.laptop.events(), stage.push()
    token = str(stage.desktop.request()["token"])
    both_ways(stage)
    watching.wait("disconnected")
    accepting = stage.desktop.begin("accept", token)
    stage.laptop.host.cable.both(CLEAR)
    first = pushing.answer(PATIENCE)
    assert accepting.answer(PATIENCE).done()["outcome"] == "done"
    return first


def while_copying(cut: Cut) -> Callable[[Stage], Answer]:
    """Cut in the middle of the content; healed once the source has noticed."""

    def play(stage: Stage) -> Answer:
        watching, pushing = half_way(stage)
        cut(stage)
        watching.wait("disconnected")
        stage.laptop.host.cable.both(CLEAR)
        return pushing.answer(PATIENCE)

    return play


def longer_than_the_source_waits(stage: Stage) -> Answer:
    _, pushing = half_way(stage)
    both_ways(stage)
    first = pushing.answer(PATIENCE)
    stage.laptop.host.cable.both(CLEAR)
    return first


def half_way(stage: Stage, *, build: bool = True) -> tuple[Command, Command]:
    """A push that has sent part of a large file: the laptop's events, and the push."""
    if build:
        stage.on_one_network()
    stage.big_file(3 * MIB)
    watching, pushing = stage.laptop.events(), stage.push()
    pushing.wait("progress", lambda event: event["bytes"] > MIB // 2)
    return watching, pushing


def at_the_freeze(stage: Stage) -> Answer:
    """Nothing passes any more when the source has begun to freeze."""
    watching, pushing = _freezing(stage)
    both_ways(stage)
    return _healed(stage, watching, pushing)


def after_the_grant(stage: Stage) -> Answer:
    """The target has the grant, and cannot ask for the last edit that it names."""
    watching, pushing = _freezing(stage, edit=True)
    source_hears_nothing(stage)
    watching.wait("disconnected")
    _hit(stage.role(stage.laptop) == "frozen" and stage.role(stage.desktop) == "")
    stage.laptop.host.cable.both(CLEAR)
    return pushing.answer(PATIENCE)


def after_the_acceptance(stage: Stage) -> Answer:
    """The target owns the session, and its source has not heard of it."""
    watching, pushing = _freezing(stage)
    source_hears_nothing(stage)
    _accepted_in_silence(stage)
    return _healed(stage, watching, pushing)


def unheard_acceptance(stage: Stage) -> Answer:
    """As before, for longer than the source waits before it reports a doubt."""
    _, pushing = _freezing(stage)
    source_hears_nothing(stage)
    _accepted_in_silence(stage)
    first = pushing.answer(PATIENCE)
    assert stage.role(stage.laptop) == "frozen"
    stage.laptop.host.cable.both(CLEAR)
    return first


def unheard_grant(stage: Stage) -> Answer:
    """Nothing passes from the freeze on, for longer than the source waits before it reports a doubt."""
    _, pushing = _freezing(stage)
    both_ways(stage)
    first = pushing.answer(PATIENCE)
    assert stage.role(stage.laptop) == "frozen"
    stage.laptop.host.cable.both(CLEAR)
    return first


def _freezing(stage: Stage, *, edit: bool = False) -> tuple[Command, Command]:
    """A push whose source has begun to freeze, with an edit that only the last picture holds.

    What the target says is under way for a while and dies with the cut, so that a slow test cuts in time.
    """
    stage.on_one_network()
    stage.session()
    stage.laptop.host.cable.set(inward=Faults(delay=stage.reaction))
    watching, pushing = stage.laptop.events(), stage.push()
    if edit:
        pushing.wait("progress")
        (stage.folder / "directory 1" / "new.txt").write_text("the last edit\n")
        stage.count()
    pushing.wait("frozen", patience=PATIENCE)
    return watching, pushing


def _accepted_in_silence(stage: Stage) -> None:
    until(lambda: stage.role(stage.desktop) == "primary" or None, SETTLED, "the target accepted")
    _hit(stage.role(stage.laptop) == "frozen")


def _hit(moment: bool) -> None:
    if not moment:
        raise MomentMissedError


def _healed(stage: Stage, watching: Command, pushing: Command) -> Answer:
    watching.wait("disconnected")
    stage.laptop.host.cable.both(CLEAR)
    return pushing.answer(PATIENCE)
