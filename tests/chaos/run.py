# SPDX-License-Identifier: Apache-2.0
"""One run: two real agents, one handoff, one fault; restart, recovery, a handoff back; the checker at every stop."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from p2p_handoff.errors import HandoffError, StorageError
from tests.chaos.cases import AFTER, BEFORE, DISK, Case, Side, Way
from tests.chaos.checker import check, remember
from tests.chaos.command import RECOVERY_PATIENCE, Handoff
from tests.chaos.deeds import Leaving, Scene
from tests.chaos.device import Device, DeviceError, Fields
from tests.chaos.faults import Fault
from tests.chaos.judged import Violation
from tests.chaos.pair import Pair
from tests.chaos.programmes import PROGRAMMES, Meeting, Running
from tests.chaos.small_disk import SmallDisk
from tests.chaos.still import standing_still
from tests.chaos.warden import Call, Kill, Pass, Verdict, Warden
from tests.chaos.work import TITLE

OUTAGE: Final = 4.0
"""Seconds that a cut or a full disk lasts: longer than a silent device is waited for."""
_AFTERMATH: Final = 0.3
"""Seconds in which a device still writes after the command has its answer."""
_LASTING: Final = ("cut", "full", "tmpfs", BEFORE, AFTER)
_FILLED_AT: Final = {1: "progress", 2: "frozen"}
"""Point of a ``tmpfs`` case → the event at which the disk fills; 0 is before the handoff."""
_POLL: Final = 0.05
_STANDS: Final = 20
_BETWEEN_STANDS: Final = 0.1
"""An agent that was stopped while it recovers its database lets nobody read it: it goes on for so long, so often."""
_MAX_RECOVERY_KILLS: Final = 60
"""A restart has about this many points; beyond them it is over."""


@dataclass(slots=True)
class Result:
    """How a run went."""

    case: Case
    happened_at: str = ""
    """The call at which the fault happened; empty when the handoff was over before."""
    outcome: str = ""
    """What the command said."""
    kills: int = 0
    begun: int = 0
    done: int = 0
    """Handoffs that were begun, and those that ended with a new primary."""
    seconds: float = 0.0
    calls: dict[Side, tuple[Call, ...]] = field(default_factory=dict)
    """What each side did, of the case's kind."""
    violations: list[str] = field(default_factory=list)
    kept: Path | None = None
    """Where its devices were copied to as evidence."""


class Run:
    """One run.

    Args:
        pair: The devices; nothing of them runs.
        case: What shall happen.
    """

    def __init__(self, pair: Pair, case: Case) -> None:
        self._pair = pair
        self._case = case
        self._result = Result(case)
        self._programme = PROGRAMMES[case.way]
        self._source, self._target = pair.begin(case.stage)
        self._sides = {Side.SOURCE: self._source, Side.TARGET: self._target}
        self._meeting: Meeting | None = None
        self._memory: dict[str, Any] = {}
        self._fault: Fault | None = None
        self._disk: SmallDisk | None = None
        for device in pair.devices:
            device.tells = bool(case.kind.message)
        self._logs = {device.name: device.log.stat().st_size if device.log.exists() else 0 for device in pair.devices}

    def carry_out(self) -> Result:
        """Do it all; never leaves a process behind."""
        started = time.monotonic()
        try:
            self._carry_out()
        except (DeviceError, HandoffError, OSError, subprocess.SubprocessError) as error:
            self._result.violations.append(f"run: {type(error).__name__}: {error}")
        finally:
            if self._meeting is not None:
                self._meeting.give_up()
            for device in self._pair.devices:
                device.kill()
        self._result.violations += self._tracebacks()
        self._result.seconds = time.monotonic() - started
        self._pair.work.save(self._pair.laptop.home.parent.parent / "work.json")
        return self._result

    def _carry_out(self) -> None:
        with self._on_its_disk():
            running = self._begin()
            self._suffer(running)
            self._judge("after the fault")
            self._bring_back(running)
            self._wait_until_settled(running)
            self._result.violations += running.improper
            self._result.outcome = running.outcome or "waits"
            self._judge("after recovery", recovered=True)
            self._nothing_is_in_doubt()
            if self._case.way is Way.UNDO:
                self._undo_once_more()
            self._hand_over_once_more()

    @contextlib.contextmanager
    def _on_its_disk(self) -> Iterator[None]:
        """The device that is hit lives on a small file system in a ``tmpfs`` case."""
        try:
            if self._case.kind.name == "tmpfs":
                self._disk = SmallDisk(self._hit().home.parent)
                self._disk.mount()
            yield
        finally:
            for device in self._pair.devices:
                device.kill()
            if self._disk is not None:
                self._disk.unmount()

    # --- the handoff and its fault ------------------------------------------------------------------

    def _begin(self) -> Running:
        self._fault = Fault(self._case)
        self._result.begun += self._programme.hands_over
        if not self._programme.command:
            return self._meet(self._fault)
        asked: Future[Handoff] = Future()
        scene = Scene(self._fault, self._pair.work, self._source, asked.result)
        deeds = self._programme.meanwhile
        self._fault.meanwhile = {(side, words): partial(scene.do, deed) for side, words, deed in deeds}
        self._prepare()
        self._start()
        self._memory = remember(self._homes)
        for side, device in self._sides.items():
            if device.warden is not None:
                self._fault.arm(side, device.warden)
        if self._disk is not None and self._case.point == 0:
            self._fill("before")
        handoff = self._programme.begin(self._source, self._target, self._on_event)
        asked.set_result(handoff)
        if self._disk is None:  # On a full disk the person could not have written it.
            self._pair.work.write_late(self._source.files, "late")
        return Leaving(handoff, self._source, self._fault) if self._programme.leaves else handoff

    def _prepare(self) -> None:
        if self._programme.settings:
            self._target.configure(self._programme.settings)
        if self._programme.adds:
            data = random.Random(3).randbytes(self._programme.adds)
            self._pair.work.write(self._source.files, "large.bin", data)

    def _start(self) -> None:
        devices = [self._source] if self._programme.alone else [self._source, self._target]
        for device in devices:
            device.start(engine=self._case.engine)
        for device in devices:
            device.answers()

    def _meet(self, fault: Fault) -> Running:
        """Both devices start behind the fault."""
        self._memory = remember(self._homes)
        for side, device in self._sides.items():
            device.start(partial(fault.arm, side), engine=self._case.engine)
        self._pair.work.write_late(self._source.files, "late")
        self._meeting = Meeting(lambda: not self._unsettled())
        return self._meeting

    def _on_event(self, name: str, _fields: Fields) -> None:
        if self._disk is not None and name == _FILLED_AT.get(self._case.point):
            self._fill(name)

    def _fill(self, when: str) -> None:
        assert self._disk is not None
        if not self._result.happened_at:
            self._disk.fill()
            self._result.happened_at = f"full: {when}"

    def _suffer(self, running: Running) -> None:
        """Wait until the fault has happened, or all is over without it."""
        assert self._fault is not None
        fault = self._fault
        while running.is_alive() and not fault.struck.is_set() and self._disk is None:
            time.sleep(_POLL / 5)
        if not fault.struck.wait(_AFTERMATH) and self._disk is None:
            self._disarm()
        if self._case.kind.family in _LASTING:
            running.join(OUTAGE)
        if self._case.kind.name == "stop" and fault.struck.is_set():
            fault.wardens[self._case.side].continued.wait(OUTAGE * 2)
        fault.heal()
        if self._disk is not None:
            self._disk.free()
        self._disarm()
        self._result.happened_at = self._result.happened_at or fault.happened_at
        for device in self._pair.devices:
            if self._is_gone(device) and self._case.kind.name != "eio":
                assert device.warden is not None
                device.warden.wait()
        self._result.calls = {side: warden.calls for side, warden in fault.wardens.items()}

    def _bring_back(self, running: Running) -> None:
        """Start what died or was off; in an ``again`` case let it die once more on its way up."""
        if self._programme.leaves:
            running.join()
            self._source.stop()
        if self._programme.settings:
            self._target.stop()
            self._target.configure({})
        for device in self._pair.devices:
            if self._is_gone(device):
                self._die(device)
            if device.warden is None:
                device.start(engine=self._case.engine)
        for device in self._pair.devices:
            device.answers()

    def _die(self, device: Device) -> None:
        """Wait for the end of a process that was killed, or end one that asks for it."""
        if self._case.kind.name == "eio":
            self._must_refuse(device)
        self._result.kills += 1
        device.kill()
        if self._case.kind.name == "again":
            self._die_in_recovery(device)

    def _must_refuse(self, device: Device) -> None:
        """After an I/O error of its database an agent does nothing any more, and says so."""
        try:
            another = device.files / "another"
            another.mkdir()
            device.call("start", {"paths": [str(another)], "title": "another"})
        except StorageError:
            return
        except HandoffError as error:
            self._result.violations.append(f"words: after an I/O error it said {error.code}: {error.sentence}")
        else:
            self._result.violations.append("I1: it goes on to write after an I/O error of its database")

    def _die_in_recovery(self, device: Device) -> None:
        point = 1 + self._case.point * 7 % _MAX_RECOVERY_KILLS

        def rule(call: Call) -> Verdict:
            return Kill() if call.number == point else Pass()

        warden = device.start(lambda warden: warden.arm(rule, DISK), engine=self._case.engine)
        with contextlib.suppress(DeviceError):
            device.answers()
        self._give_it_time(warden)
        if warden.struck.is_set():
            self._result.kills += 1
            self._result.happened_at += f" and {warden.calls[-1]} of the recovery"
        device.kill()
        self._judge("after the second kill")

    def _give_it_time(self, warden: Warden) -> None:
        """Let a recovery go on until its kill; one that is over before goes without."""
        deadline = time.monotonic() + 1.0
        while not warden.struck.is_set() and time.monotonic() < deadline:
            time.sleep(_POLL)

    def _disarm(self) -> None:
        for device in self._pair.devices:
            if device.warden is not None:
                device.warden.disarm()

    def _is_gone(self, device: Device) -> bool:
        """Whether it has died, or is about to: a process that was sent SIGKILL may still be listed."""
        if not self._result.happened_at:
            return False
        match self._case.kind.name:
            case "both":
                return True
            case "kill" | "power" | "send" | "again":
                return device is self._hit()
            case "eio":  # The agent says itself that it must be restarted.
                return device is self._hit() and "store.sqlite3" in self._result.happened_at
            case _:
                return False

    # --- afterwards ---------------------------------------------------------------------------------

    @property
    def _homes(self) -> list[Path]:
        return [device.home for device in self._pair.devices]

    def _wait_until_settled(self, handoff: Running) -> None:
        deadline = time.monotonic() + RECOVERY_PATIENCE
        while self._waits_for(handoff) or self._busy() or self._unsettled():
            if time.monotonic() > deadline:
                return  # The check that follows says what is wrong.
            time.sleep(_POLL)

    def _waits_for(self, handoff: Running) -> bool:
        """Whether a command is still to end: a take whose source died before its freeze waits for it to come back."""
        forsaken = self._case.way is Way.TAKE and self._is_gone(self._source)
        return handoff.is_alive() and not forsaken

    def _busy(self) -> bool:
        """Whether the source still carries a handoff; a target keeps room for a source that died before its grant."""
        return bool(self._source.call("status")["active"])

    def _unsettled(self) -> bool:
        return any(violation.promise == "I7" for violation in check(self._homes, recovered=True))

    def _nothing_is_in_doubt(self) -> None:
        """What a person is told: ``handoff recover`` on either device."""
        for device in self._pair.devices:
            told = device.call("recover", {"wait": 0.0})
            if told["in_doubt"] or not told["resolved"]:
                self._result.violations.append(f"I7: {device.name} tells of a doubt: {told['in_doubt']}")

    def _undo_once_more(self) -> None:
        """An undo can be undone: the other state comes back, whole."""
        work, files = self._pair.work, self._source.files
        before = work.state_on(files)
        self._source.call("undo", {"session": TITLE})
        if work.state_on(files) == before:
            self._result.violations.append("I3: an undo brought nothing back")
        self._judge("after another undo", recovered=True)

    def _hand_over_once_more(self) -> None:
        """Proof of life: whoever is primary now hands over to the other."""
        giver = self._source if _is_primary(self._source) else self._target
        if giver is self._target and self._programme.hands_over:
            self._result.done += 1
        taker = self._target if giver is self._source else self._source
        self._result.begun += 1
        handoff = Handoff(giver, "to", {"peer": taker.name, "session": TITLE})
        handoff.join()
        if handoff.outcome != "done":
            self._result.violations.append(f"I7: the next handoff ended with {handoff.outcome}")
            return
        self._result.done += 1
        self._wait_until_settled(handoff)
        if taker is self._pair.desktop:
            self._pair.work.come_home()
        self._judge("after the next handoff", recovered=True)

    def _judge(self, when: str, *, recovered: bool = False) -> None:
        found = self._found(recovered=recovered)
        self._result.violations += [f"{when}: {violation}" for violation in found]

    def _found(self, *, recovered: bool, tries: int = _STANDS) -> list[Violation]:
        running = [device.warden.process for device in self._pair.devices if device.warden is not None]
        try:
            with standing_still(running):
                homes, work = self._homes, self._pair.work.as_json()
                found = check(homes, work=work, earlier=self._memory, recovered=recovered)
                self._memory = remember(homes)
        except sqlite3.OperationalError:
            if not tries:
                raise
            time.sleep(_BETWEEN_STANDS)
            return self._found(recovered=recovered, tries=tries - 1)
        return found

    def _tracebacks(self) -> list[str]:
        """No agent ever shows a person a traceback: it would be an error that nobody foresaw."""
        found = []
        for device in self._pair.devices:
            with device.log.open("rb") as log:
                log.seek(self._logs[device.name])
                if b"Traceback (most recent call last)" in log.read():
                    found.append(f"words: a traceback in {device.log}")
        return found

    def _hit(self) -> Device:
        return self._sides[self._case.side]


def _is_primary(device: Device) -> bool:
    session = device.session(TITLE)
    return session is not None and session["role"] == "primary"
