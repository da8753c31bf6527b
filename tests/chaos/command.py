# SPDX-License-Identifier: Apache-2.0
"""A handoff that somebody asked for: the command in a thread of its own, while faults happen to the agents."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from p2p_handoff.errors import HandoffError, UnreachableError
from tests.chaos.device import Device, Fields

RECOVERY_PATIENCE: Final = 90.0
"""Seconds for two devices that are up to settle everything: three times the longest wait of the product."""


class Handoff:
    """A command that runs in a thread of its own."""

    def __init__(
        self,
        device: Device,
        command: str,
        args: dict[str, Any],
        on_event: Callable[[str, Fields], None] | None = None,
    ) -> None:
        self.outcome = ""
        self.improper: list[str] = []
        """What the command said that no command may say."""
        self._client, self._command, self._args, self._on_event = device.client(), command, args, on_event
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def join(self, seconds: float = 2 * RECOVERY_PATIENCE) -> None:
        """Wait for its end, or so long."""
        self._thread.join(seconds)

    def give_up(self) -> None:
        """The person presses Ctrl-C."""
        self._client.give_up()

    def _call(self) -> None:
        try:
            result = self._client.call(
                self._command, self._args, on_event=self._on_event, timeout=2 * RECOVERY_PATIENCE
            )
            self.outcome = str(result.get("outcome", "done"))
        except UnreachableError:
            self.outcome = "agent gone"
        except HandoffError as error:
            self.outcome = error.code
            if error.code in ("unexpected", "local-protocol"):
                self.improper.append(f"words: {self._command} ended with {error.code}: {error.sentence}")
