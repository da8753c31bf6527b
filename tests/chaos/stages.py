# SPDX-License-Identifier: Apache-2.0
"""How each stage is made from an earlier one: real agents do it, ended at an exact moment where that matters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.cases import SENDS, Stage
from tests.chaos.command import Handoff
from tests.chaos.device import Device, DeviceError
from tests.chaos.evidence import Home, read_home
from tests.chaos.warden import Call, Kill, Pass, Verdict
from tests.chaos.work import TITLE

if TYPE_CHECKING:
    from tests.chaos.pair import Pair

_PATIENCE: Final = 60.0


def first(pair: Pair) -> None:
    """The session is on the laptop, and the desktop knows nothing of it."""
    for device in pair.devices:
        device.make()
    pair.start()
    _link(pair.laptop, pair.desktop)
    pair.work.begin(pair.laptop.files)
    paths = [str(path) for path in pair.work.parts(pair.laptop.files)]
    pair.laptop.call("start", {"paths": paths, "title": TITLE})


def update(pair: Pair) -> None:
    """It has been handed to the desktop, and was worked on there."""
    pair.start()
    pair.laptop.call("to", {"peer": "desktop", "session": TITLE})
    pair.stop()
    pair.work.go_on(pair.desktop.files)


def handed(pair: Pair) -> None:
    """It was handed back to the laptop, which has kept what was replaced."""
    pair.work.remember_state(pair.laptop.files)
    pair.start()
    pair.desktop.call("to", {"peer": "laptop", "session": TITLE})
    pair.stop()
    pair.work.remember_state(pair.laptop.files)


def undecided(pair: Pair) -> None:
    """The desktop has frozen it and dies before its grant goes out, and the laptop with it."""
    _end_at(pair, pair.desktop, lambda home: any(session.role == "frozen" for session in home.sessions))


def decided(pair: Pair) -> None:
    """The laptop has accepted and dies before it says so, and the desktop with it."""
    _end_at(pair, pair.laptop, lambda home: any(session.role == "primary" for session in home.sessions))


def forked(pair: Pair) -> None:
    """Undecided, and the desktop went on in a fork."""
    _fork(pair)
    pair.work.go_on_in_fork(pair.desktop.files, aside=False)


def parted(pair: Pair) -> None:
    """Decided; the laptop went on in the original, and the desktop in a fork."""
    pair.laptop.start()
    pair.laptop.answers()
    _wait_until(lambda: not read_home(pair.laptop.home).pending, "what was accepted does not come into its place")
    pair.laptop.stop()
    _fork(pair)
    pair.work.go_on_in_fork(pair.desktop.files, aside=True)
    pair.work.write(pair.laptop.files, "meanwhile.md", b"written on the laptop meanwhile\n")
    pair.work.say(pair.laptop.files, "said on the laptop meanwhile")


STAGES: Final[Mapping[Stage, tuple[Stage | None, Callable[[Pair], None]]]] = {
    Stage.FIRST: (None, first),
    Stage.UPDATE: (Stage.FIRST, update),
    Stage.HANDED: (Stage.UPDATE, handed),
    Stage.UNDECIDED: (Stage.UPDATE, undecided),
    Stage.DECIDED: (Stage.UPDATE, decided),
    Stage.FORKED: (Stage.UNDECIDED, forked),
    Stage.PARTED: (Stage.DECIDED, parted),
}
"""Stage → the one it is made from, and how."""


def _fork(pair: Pair) -> None:
    pair.desktop.start()
    pair.desktop.answers()
    pair.desktop.call("recover", {"session": TITLE, "force": True, "confirmed": True})
    pair.desktop.stop()


def _end_at(pair: Pair, watched: Device, has_come: Callable[[Home], bool]) -> None:
    """Hand over from the desktop; end both agents before the watched one says anything of what has come."""
    pair.start()
    (warden,) = [device.warden for device in pair.devices if device is watched]
    (other,) = [device.warden for device in pair.devices if device is not watched]
    assert warden is not None
    assert other is not None

    def rule(_call: Call) -> Verdict:
        if not has_come(read_home(watched.home)):
            return Pass()
        other.process.kill()
        return Kill()

    warden.arm(rule, SENDS)
    handoff = Handoff(pair.desktop, "to", {"peer": "laptop", "session": TITLE})
    _wait_until(lambda: warden.struck.is_set() or not handoff.is_alive(), "the handoff does not come so far")
    pair.kill()
    handoff.join()
    if not has_come(read_home(watched.home)):
        raise DeviceError(f"the handoff ended with {handoff.outcome} where it should have been interrupted")


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise DeviceError(otherwise)
        time.sleep(0.02)


def _link(laptop: Device, desktop: Device) -> None:
    shown: list[str] = []
    code = threading.Event()

    def on_event(name: str, fields: Mapping[str, Any]) -> None:
        if name == "code":
            shown.append(fields["code"])
            code.set()

    opening = threading.Thread(
        target=laptop.call, args=("link", {"code": None, "kind": "own"}), kwargs={"on_event": on_event}
    )
    opening.start()
    if not code.wait(_PATIENCE):
        raise DeviceError("no link code was shown")
    desktop.call("link", {"code": shown[0], "kind": "own"})
    opening.join(_PATIENCE)
