# SPDX-License-Identifier: Apache-2.0
"""The settings as they hold now: a running agent takes over what it can of a changed file. Layer: agent.

Specification: docs/configuration.md. What cannot be changed while it runs keeps the value that it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from p2p_handoff.errors import UsageError
from p2p_handoff.session.policy import Unclear
from p2p_handoff.settings.config import Settings
from p2p_handoff.settings.keys import is_live
from p2p_handoff.settings.reading import Document, Mistake, complaint


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a changed file."""

    taken_over: tuple[str, ...]
    """Settings that hold from now on."""
    needs_restart: tuple[str, ...]
    """Settings of the file that differ from what the agent runs with."""


class CurrentSettings:
    """The settings of one agent.

    Args:
        value: Those that it starts with.
        again: Reads them anew; None for an agent that was given its settings.
    """

    def __init__(self, value: Settings, again: Callable[[], Settings] | None = None) -> None:
        self.value = value
        self._again = again

    @property
    def reads_a_file(self) -> bool:
        """False for an agent that was given its settings."""
        return self._again is not None

    def read_again(self) -> Settings:
        """What the agent would start with now.

        Raises:
            UsageError: There is a mistake in the file, or the agent reads none.
        """
        if self._again is None:
            raise UsageError("this agent was given its settings by a program and reads no file")
        return self._again()

    def take_over(self, fresh: Settings) -> Change:
        """Let hold from now on what can."""
        changed = [
            item.name for item in fields(Settings) if getattr(fresh, item.name) != getattr(self.value, item.name)
        ]
        live = tuple(name for name in changed if is_live(name))
        self.value = replace(self.value, **{name: getattr(fresh, name) for name in live})
        return Change(live, tuple(name for name in changed if name not in live))


def check_clear(path: Path, document: Document, doubts: Iterable[Unclear]) -> None:
    """Make sure that every device's table means one device.

    Args:
        path: The file.
        document: What it says.
        doubts: What the links say of its tables.

    Raises:
        UsageError: One does not; names its line.
    """
    mistakes = tuple(Mistake(document.place(("device", doubt.key)), explained(doubt)) for doubt in doubts)
    if mistakes:
        raise complaint(path, mistakes)


def explained(doubt: Unclear) -> str:
    """What is not clear about a device's table."""
    ids = " and ".join(device[:8] for device in doubt.devices)
    if len(doubt.devices) > 1:
        return f"device: {doubt.key!r} fits several devices ({ids}); name it by the beginning of its id"
    return f"device: {doubt.key!r} is {ids}, which has a table already"
