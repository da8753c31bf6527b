# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C during a handoff: the first one asks and waits, the second one leaves, and both say what is true."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from typing_extensions import override

from p2p_handoff.cli.interrupt import taking_back
from p2p_handoff.control.client import Client
from p2p_handoff.errors import ExitCode, InDoubtError


class Asked(Client):
    """Remembers that it was asked; a command runs or it does not."""

    def __init__(self, *, running: bool) -> None:
        super().__init__(Path("unused"))
        self.is_running = running
        self.times = 0

    @override
    def give_up(self) -> bool:
        self.times += 1
        return self.is_running


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_twice() -> None:
    interrupt()
    interrupt()


def test_the_first_one_asks_and_goes_on_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    client = Asked(running=True)
    with taking_back(client):
        interrupt()
    assert client.times == 1
    assert "Taking it back" in capsys.readouterr().err


def test_the_second_one_leaves_and_says_that_the_outcome_is_open() -> None:
    client = Asked(running=True)
    with pytest.raises(InDoubtError, match="did not wait") as left, taking_back(client):
        interrupt_twice()
    assert (client.times, left.value.exit_code) == (1, ExitCode.IN_DOUBT)
    assert "handoff sessions" in left.value.sentence


def test_before_a_command_runs_it_is_a_plain_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), taking_back(Asked(running=False)):
        interrupt()


def test_a_client_that_runs_nothing_cannot_give_up() -> None:
    assert Client(Path("unused")).give_up() is False


def test_afterwards_an_interrupt_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with taking_back(Asked(running=True)):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
