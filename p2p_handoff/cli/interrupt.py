# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a handoff runs: asks the agent to take it back, and waits for the truth. Layer: cli.

Specification: docs/cli.md §3.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from p2p_handoff.cli.output import say
from p2p_handoff.control.client import Client
from p2p_handoff.errors import HandoffError, InDoubtError


@contextmanager
def taking_back(client: Client) -> Iterator[None]:
    """For the block, the first Ctrl-C gives the client's command up and goes on waiting; a second one leaves.

    Raises:
        InDoubtError: The second: nobody waited for the outcome.
        KeyboardInterrupt: The first, when no command was running yet.
    """
    asked = False

    def interrupted(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked or not _give_up(client):
            raise KeyboardInterrupt
        asked = True
        say("Taking it back. Ctrl-C again leaves that to the agent.")

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    except KeyboardInterrupt:
        if not asked:
            raise
        raise InDoubtError(
            "you did not wait for the outcome",
            state="the agent goes on taking the handoff back as far as that is possible",
            advice="'handoff sessions' shows where the session is, 'handoff recover' what is in doubt",
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _give_up(client: Client) -> bool:
    try:
        return client.give_up()
    except HandoffError:
        return False
