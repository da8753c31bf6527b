# SPDX-License-Identifier: Apache-2.0
"""Watches one process: counts its calls that change the disk or send, and at a chosen one lets a fault happen.

One thread per process. Nothing is counted before ``arm``: imports and the opening of the database pass.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from typing_extensions import override

from tests.chaos import seccomp
from tests.chaos.nursery import ROOT, Child
from tests.chaos.seccomp import Notice
from tests.chaos.system_calls import Act, SystemCall, this_machine
from tests.chaos.unsynced import Unsynced

_LEFT_OUT: Final = ("agent.log", "agent.lock", "agent.sock", "native-engine-crash", ".pyc", "__pycache__")
"""Not part of what a handoff leaves behind."""
_LONGEST_PATH: Final = 4096
_OUTPUT: Final = (1, 2)
_GONE: Final = (errno.ENOENT, errno.EBADF, errno.ENODEV, errno.ESRCH, errno.ECANCELED)


@dataclass(frozen=True, slots=True)
class Call:
    """One counted call."""

    number: int
    """1, 2, … since ``arm``."""
    name: str
    act: Act
    where: str
    """The name of the file, ``udp``, or empty for the whole file system."""

    @override
    def __str__(self) -> str:
        return f"{self.number}:{self.name}{f'({self.where})' if self.where else ''}"


class Verdict:
    """What becomes of a call: see ``Pass``, ``Kill``, ``CutPower``, ``Fail``, ``Drop``, ``Pause``."""


class Pass(Verdict):
    """It happens."""


class Kill(Verdict):
    """The process dies before it happens."""


class CutPower(Verdict):
    """The process dies before it happens, and with it what was written and not synced since ``arm``."""


@dataclass(frozen=True, slots=True)
class Fail(Verdict):
    """It fails with this errno."""

    errno: int


class Drop(Verdict):
    """It seems to succeed and does not happen: a datagram that is lost."""


@dataclass(frozen=True, slots=True)
class Pause(Verdict):
    """It happens, but first the whole process is stopped (SIGSTOP) for some seconds."""

    seconds: float


Rule = Callable[[Call], Verdict]
Process = subprocess.Popen[bytes] | Child
Start = Callable[[Sequence[str], Mapping[str, str], tuple[int, int, int]], Process]
"""Starts a process: its arguments; its environment; its output, and the two pipes of tests/chaos/launch.py."""


def let_all_pass(_call: Call) -> Verdict:
    """The rule of a counting run."""
    return Pass()


@dataclass(slots=True)
class _Count:
    calls: list[Call] = field(default_factory=list)
    rule: Rule | None = None
    acts: frozenset[Act] = frozenset()


class Warden:
    """Starts a process and watches it until it ends.

    Args:
        argv: The program; its first word is a path.
        log: Gets what it prints.
        environment: Added to that of this process.
        prepare: Gets this warden before the program begins: what it arms counts from the first call on.
        start: Starts it; without one, ``argv`` is executed.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        prepare: Callable[[Warden], None] = lambda _warden: None,
        environment: Mapping[str, str] = MappingProxyType({}),
        start: Start | None = None,
    ) -> None:
        self._count = _Count()
        self._turn = threading.Lock()
        self._sockets: dict[str, bool] = {}
        self._unsynced: Unsynced | None = None
        self._is_killed = False
        self._power_is_cut = False
        self._calls = this_machine().numbers
        self.struck = threading.Event()
        """Set when a rule did something other than let a call pass."""
        self.continued = threading.Event()
        """Set when a process that was stopped goes on."""
        prepare(self)
        self.process, self._listener = _launch(argv, log, {**os.environ, **environment}, start or executed)
        self._thread = threading.Thread(target=self._watch, name=f"warden {self.process.pid}", daemon=True)
        self._thread.start()

    @property
    def calls(self) -> tuple[Call, ...]:
        """What was counted since ``arm``."""
        with self._turn:
            return tuple(self._count.calls)

    def arm(self, rule: Rule, acts: frozenset[Act], *, follow_syncs: bool = False) -> None:
        """Count the calls of these kinds from now on, and ask the rule about each.

        Args:
            rule: Decides about each.
            acts: The kinds.
            follow_syncs: Remember what is not synced, for a ``CutPower``.
        """
        with self._turn:
            self._count = _Count(rule=rule, acts=acts)
            self._unsynced = Unsynced() if follow_syncs else None
            self.struck.clear()

    def disarm(self) -> None:
        """Let everything pass again; the count stays."""
        with self._turn:
            self._count.rule = None

    def kill(self) -> None:
        """End the process as a power switch does, and wait until it is gone."""
        self.process.kill()
        self.wait()

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for the end of the process; returns its exit code.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        code = self.process.wait(seconds)
        self._thread.join()
        if self._power_is_cut and self._unsynced is not None:
            self._unsynced.lose()
        return code

    def stop(self, seconds: float = 10.0) -> None:
        """End the process in the orderly way, and else by force."""
        self.disarm()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.wait()

    # --- the thread ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        with contextlib.closing(os.fdopen(self._listener, "rb", buffering=0)):
            while any(event & select.POLLIN for _, event in poll.poll()):
                try:
                    notice = seccomp.receive(self._listener)
                except OSError as error:
                    if error.errno in _GONE:
                        return
                    raise
                if notice is not None and not self._is_killed:  # What another thread wants then never happens.
                    self._answer(notice)

    def _answer(self, notice: Notice) -> None:
        match self._judge(notice):
            case Kill() | CutPower() as verdict:
                self._is_killed = True
                self._power_is_cut = isinstance(verdict, CutPower)
                self.process.kill()  # The call waits until the kill has arrived: it never happens.
            case Fail(errno=number):
                seccomp.fail(self._listener, notice, number)
            case Drop():
                seccomp.pretend(self._listener, notice, notice.arguments[2])
            case Pause(seconds=seconds):
                self.process.send_signal(signal.SIGSTOP)
                seccomp.let_pass(self._listener, notice)
                threading.Timer(seconds, self._go_on).start()
            case _:
                seccomp.let_pass(self._listener, notice)

    def _go_on(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        self.continued.set()

    def _judge(self, notice: Notice) -> Verdict:
        system_call = self._calls[notice.number]
        with self._turn:
            count = self._count
            if count.rule is None or system_call.act not in count.acts:
                return Pass()
            where = self._where(notice, system_call)
            if where is None:
                return Pass()
            call = Call(len(count.calls) + 1, system_call.name, system_call.act, where)
            count.calls.append(call)
            verdict = count.rule(call)
            if self._unsynced is not None and isinstance(verdict, Pass):
                _follow(self._unsynced, notice, system_call)
        if not isinstance(verdict, Pass):
            self.struck.set()
        return verdict

    def _where(self, notice: Notice, call: SystemCall) -> str | None:
        """The file a call works on; None for what does not count: pipes, terminals, logs, sockets other than UDP."""
        if call.descriptor is None:
            name = "" if call.path is None else _text_at(notice, call.path)
            return None if any(word in name for word in _LEFT_OUT) else Path(name).name
        number = notice.arguments[call.descriptor]
        try:
            name = str(Path(f"/proc/{notice.pid}/fd/{number}").readlink())
        except OSError:
            return None
        if call.act is Act.SEND:
            return "udp" if self._is_datagram(name, number) else None
        return Path(name).name if number not in _OUTPUT and _is_durable(name) else None

    def _is_datagram(self, name: str, number: int) -> bool:
        if name not in self._sockets:
            self._sockets[name] = self._looked_at(number)
        return self._sockets[name]

    def _looked_at(self, number: int) -> bool:
        pidfd = os.pidfd_open(self.process.pid)
        try:
            with socket.socket(fileno=seccomp.descriptor_of(pidfd, number)) as copy:
                return copy.type == socket.SOCK_DGRAM and copy.family in (socket.AF_INET, socket.AF_INET6)
        except OSError:
            return False
        finally:
            os.close(pidfd)


def _follow(unsynced: Unsynced, notice: Notice, call: SystemCall) -> None:
    """Remember what a call that happens makes safe, or leaves unsafe."""
    if call.act is Act.SYNC and (call.descriptor is None or call.name == "syncfs"):
        unsynced.all_synced()
    elif call.descriptor is not None and call.act in (Act.SYNC, Act.WRITE, Act.RESIZE):
        path = f"/proc/{notice.pid}/fd/{notice.arguments[call.descriptor]}"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # The process was killed meanwhile.
            (unsynced.synced if call.act is Act.SYNC else unsynced.written)(path)


def _text_at(notice: Notice, argument: int) -> str:
    """The path that an argument points to, read while the caller waits."""
    try:
        with Path(f"/proc/{notice.pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(notice.arguments[argument])
            return os.fsdecode(memory.read(_LONGEST_PATH).partition(b"\0")[0])
    except OSError:
        return "?"


def _is_durable(name: str) -> bool:
    """Whether a descriptor leads to a file that would be there after a restart."""
    is_file = name.startswith("/") and (not name.startswith("/dev/") or name.startswith("/dev/shm/"))
    return is_file and not any(word in name for word in _LEFT_OUT)


def _launch(argv: Sequence[str], log: Path, environment: Mapping[str, str], start: Start) -> tuple[Process, int]:
    """The process behind its filter, and the listener."""
    announced, out = os.pipe()
    go, hold = os.pipe()
    with log.open("ab") as output:
        process = start(argv, environment, (output.fileno(), out, go))
    os.close(out)
    os.close(go)
    try:
        with os.fdopen(announced, "rb") as pipe:
            number = pipe.read()  # Until the child closes its end: the filter is installed then.
        if not number:
            process.kill()
            process.wait()
            raise OSError(f"no filter could be installed; see {log}")
        pidfd = os.pidfd_open(process.pid)
        try:
            return process, seccomp.descriptor_of(pidfd, int(number))
        finally:
            os.close(pidfd)
    finally:
        os.close(hold)


def executed(
    argv: Sequence[str], environment: Mapping[str, str], descriptors: tuple[int, int, int]
) -> subprocess.Popen[bytes]:
    """Start a program by its path: see ``Start``."""
    output, *pipes = descriptors
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.launch", *map(str, pipes), *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=pipes,
        env=environment,
        cwd=ROOT,
        start_new_session=True,
    )
