# SPDX-License-Identifier: Apache-2.0
"""One piece of work at a time: threads are waited for, and what older work found is void."""

from __future__ import annotations

import asyncio
import threading

import pytest

from p2p_handoff.agent.work import Finding, Work, in_thread
from tests.agent.devices import until


class Machine:
    """A thread's work that is held until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.running = 0
        self.most = 0

    def work(self) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.entered.set()
        self.release.wait(5)
        self.running -= 1
        return "done"


async def test_a_cancelled_caller_goes_on_when_the_thread_has_ended() -> None:
    machine = Machine()
    task = asyncio.create_task(in_thread(machine.work))
    await asyncio.to_thread(machine.entered.wait, 5)
    task.cancel()
    await asyncio.sleep(0.02)
    assert not task.done()
    machine.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert machine.running == 0


async def test_what_a_thread_raises_arrives() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


async def test_new_work_waits_for_the_thread_of_older_work() -> None:
    found: list[Finding[str]] = []
    work, machine = Work[str](found.append), Machine()
    for _ in range(3):  # The second is cancelled before it begins: the third waits for the first all the same.
        work.start(lambda: in_thread(machine.work), "work", lambda text: text)
        if not machine.entered.is_set():
            await asyncio.to_thread(machine.entered.wait, 5)
    machine.release.set()
    await until(lambda: bool(found))
    assert machine.most == 1
    assert [(finding.event, work.is_current(finding)) for finding in found] == [("done", True)]


async def test_a_finding_is_void_once_something_else_began() -> None:
    found: list[Finding[str]] = []
    work = Work[str](found.append)

    async def first() -> str:
        return "first"

    work.start(first, "first", lambda text: text)
    await asyncio.sleep(0.01)
    (finding,) = found
    assert work.is_current(finding)
    await work.stop()
    assert not work.is_current(finding)


async def test_a_defect_is_told_as_an_event(caplog: pytest.LogCaptureFixture) -> None:
    found: list[Finding[str]] = []
    work = Work[str](found.append)

    async def broken() -> str:
        raise RuntimeError("a defect")

    work.start(broken, "broken", lambda text: text)
    await asyncio.sleep(0.01)
    assert [finding.event for finding in found] == ["an unexpected error (RuntimeError)"]
    assert "broken: an unexpected error" in caplog.text
