# SPDX-License-Identifier: Apache-2.0
"""An event loop whose time jumps, and processes on it that can be stopped and killed. Layer: testing, public.

``time()`` is simulated: it stands still while anything runs and jumps to the next timer when nothing does. Timers
fire in order; what would run in a thread runs on the loop, in one piece. So a run depends on nothing but what it
is given, and ten simulated minutes take as long as what happens in them. Specification: docs/testing.md §2.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor
from enum import Enum, auto
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack
from weakref import WeakKeyDictionary

from typing_extensions import override

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

MAX_STEPS_AT_ONCE: Final = 1_000_000
"""Callbacks in one instant of simulated time after which a run is called endless."""
_CLOSE_TRIES: Final = 100
"""How often a killed coroutine may go on in a ``finally`` before it is left alone."""


class StuckError(AssertionError):
    """Nothing will ever happen any more, or things happen without end while no time passes."""


class ProcessKilledError(BaseException):
    """Raised inside a simulated process to end it where it stands; nothing that it does afterwards has an effect."""


class State(Enum):
    """What a simulated process does."""

    RUNNING = auto()
    SUSPENDED = auto()
    """It gets no turns (SIGSTOP); what was due waits."""
    DEAD = auto()


class Process:
    """Everything that runs on behalf of one agent from its start to its end.

    Args:
        loop: Where it runs.
        name: For people.
    """

    def __init__(self, loop: SimulatedLoop, name: str) -> None:
        self.name = name
        self.state = State.RUNNING
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done once the process is dead."""
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)
        self.at_end: list[Callable[[], None]] = []
        """What the operating system gives back when a process dies, whatever the process did."""
        self.tasks: WeakKeyDictionary[asyncio.Task[Any], None] = WeakKeyDictionary()
        self._loop = loop
        self._parked: list[asyncio.Handle] = []

    def spawn(self, work: Coroutine[Any, Any, _T], name: str = "") -> asyncio.Task[_T]:
        """Run a coroutine as part of this process."""
        return self._loop.create_task(work, name=name or self.name, context=self.context.copy())

    def call(self, function: Callable[[Unpack[_Ts]], _T], *args: *_Ts) -> _T:
        """Call a function as part of this process, now."""
        return self.context.copy().run(function, *args)

    def suspend(self) -> None:
        """Give it no turns until ``resume``."""
        if self.state is State.RUNNING:
            self.state = State.SUSPENDED

    def resume(self) -> None:
        """Give it its turns again; what was due while it was suspended comes first."""
        if self.state is State.SUSPENDED:
            self.state = State.RUNNING
            parked, self._parked = self._parked, []
            self._loop.ready_again(parked)

    def kill(self) -> None:
        """End it now (SIGKILL): no ``finally`` of it has an effect, and the system takes back what it held."""
        if self.state is State.DEAD:
            return
        self.state = State.DEAD
        self._parked.clear()
        self.ended.set_result(None)
        # Not from within one of its own steps: a coroutine that runs cannot be closed.
        doomed = [task for task in self.tasks if not task.done()]
        self._loop.call_soon(self._bury, doomed, context=contextvars.Context())

    def park(self, handle: asyncio.Handle) -> None:
        """Keep a callback for ``resume``."""
        self._parked.append(handle)

    def _bury(self, doomed: list[asyncio.Task[Any]]) -> None:
        for give_back in self.at_end:
            give_back()
        for task in doomed:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it was killed on purpose
            coroutine = task.get_coro()
            if coroutine is not None:
                self.context.copy().run(_close, coroutine)


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("simulated process", default=None)
"""The process on whose behalf something runs; None for the test itself and for the network."""


def _close(coroutine: Any) -> None:
    for _ in range(_CLOSE_TRIES):
        try:
            coroutine.close()
        except RuntimeError:
            continue  # It awaits in a ``finally``; there is nobody to wait for.
        except BaseException:  # noqa: BLE001, S110 - whatever a dead process runs into is of no consequence
            pass
        return


class _Handle(asyncio.Handle):
    """A callback that runs only while its process does."""

    __slots__ = ()

    @override
    def _run(self) -> None:
        if _may_run(self):
            super()._run()


class _Timer(asyncio.TimerHandle):
    """A timer that fires only while its process runs."""

    __slots__ = ()

    @override
    def _run(self) -> None:
        if _may_run(self):
            super()._run()


def _may_run(handle: asyncio.Handle) -> bool:
    process: Process | None = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # noqa: SLF001
    if process is None or process.state is State.RUNNING:
        return True
    if process.state is State.SUSPENDED:
        process.park(handle)
    return False


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop. No sockets, no signals, no threads."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._steps = 0
        # Coarser than the spacing of floats after thirty years, finer than anything that is measured.
        self._clock_resolution = 1e-6
        self._selector = self
        self._generators: dict[int, Process | None] = {}
        """Whose an unfinished generator is, by its id: weak references are gone before it is finalized."""
        self.disk_delay: Callable[[], float] = lambda: 0.0
        """Seconds that the next work of a thread takes."""
        self.failures: list[str] = []
        """Errors that nobody handled, in words; none belongs in a run without a defect."""
        self.set_task_factory(_make_task)  # type: ignore[arg-type]  # typeshed asks for more of a factory than asyncio does
        self.set_exception_handler(_note_failure)

    @override
    def time(self) -> float:
        return self._now

    def ready_again(self, handles: list[asyncio.Handle]) -> None:
        """Run callbacks that were due earlier, before anything else."""
        self._ready.extendleft(reversed(handles))

    @override
    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    @override
    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 - as the base class does
        return timer

    @override
    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    @override
    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Run it on the loop in one piece, a step later; its result is known after ``disk_delay``."""
        future: asyncio.Future[_T] = self.create_future()
        self.call_soon(self._work, future, lambda: func(*args))
        return future

    def _work(self, future: asyncio.Future[_T], function: Callable[[], _T]) -> None:
        if future.cancelled():
            return
        try:
            result = function()
        except ProcessKilledError:
            return
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it
            self.call_later(self.disk_delay(), _settle, future, None, error)
        else:
            self.call_later(self.disk_delay(), _settle, future, result, None)

    # --- what BaseEventLoop asks of a selector loop ------------------------------------------------

    def select(self, timeout: float | None) -> None:
        """Let time jump to the next timer."""
        self._steps += len(self._ready)
        if timeout is None:
            raise StuckError("nothing will ever happen any more: everybody waits for somebody")
        if timeout > 0:
            self._now += timeout
            self._steps = 0
        elif self._steps > MAX_STEPS_AT_ONCE:
            raise StuckError(f"more than {MAX_STEPS_AT_ONCE} callbacks ran while no time passed")

    def _process_events(self, event_list: object) -> None:
        """There is nothing outside of the simulation."""

    def _write_to_self(self) -> None:
        """Nobody sleeps outside of the simulation."""

    def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._generators[id(agen)] = PROCESS.get()
        super()._asyncgen_firstiter_hook(agen)  # type: ignore[misc]

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        process = self._generators.pop(id(agen), None)
        if process is None or process.state is not State.DEAD:
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]


def _settle(future: asyncio.Future[_T], result: _T | None, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]  # None is the result where there is no error


def _make_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, _T],
    context: contextvars.Context | None = None,
) -> asyncio.Task[_T]:
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None and process.state is State.DEAD:
        work.close()
        raise ProcessKilledError
    task = asyncio.Task(work, loop=loop, context=context)
    if process is not None:
        process.tasks[task] = None
    return task


def _note_failure(loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
    assert isinstance(loop, SimulatedLoop)
    error = details.get("exception")
    if not isinstance(error, ProcessKilledError):
        loop.failures.append(f"{details.get('message')}: {error!r}")
