# SPDX-License-Identifier: Apache-2.0
"""The settings as they hold now: a running agent takes over what it can of a changed file. Layer: agent.

Specification: docs/configuration.md. What cannot be changed while it runs keeps the value that it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from p2p_handoff.agent.events import Events
from p2p_handoff.agent.policies import Policies
from p2p_handoff.errors import UsageError
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.session.paths import printable
from p2p_handoff.session.policy import Unclear
from p2p_handoff.settings.config import Settings, settings_of, text_of
from p2p_handoff.settings.keys import is_live
from p2p_handoff.settings.reading import Document, Mistake, complaint, read


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

    @classmethod
    def begin(cls, given: Settings | Callable[[], Settings], name: str | None) -> CurrentSettings:
        """The settings that an agent starts with.

        Args:
            given: They themselves, or what reads them.
            name: A display name to use instead of theirs.

        Raises:
            UsageError: There is a mistake in the file.
        """
        if isinstance(given, Settings):
            return cls(_named(given, name))
        return cls(_named(given(), name), lambda: _named(given(), name))

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


class SettingsFile:
    """A running agent's ``config.toml``.

    Args:
        path: Where it is.
        current: The settings as they hold.
        policies: What links and settings together say of devices.
        events: Told of what is taken over.
    """

    def __init__(self, path: Path, current: CurrentSettings, policies: Policies, events: Events) -> None:
        self._path = path
        self._current = current
        self._policies = policies
        self._events = events

    def check(self, text: str) -> None:
        """Whether a text could be this file.

        Raises:
            UsageError: There is a mistake in it, or a table in it fits several devices; names the line.
        """
        document = read(text)
        if document.mistakes:
            raise complaint(self._path, document.mistakes)
        check_clear(self._path, document, self._policies.unclear(settings_of(document)))

    async def check_as_it_is(self) -> None:
        """The same for what stands in it now; an agent that was given its settings reads none.

        Raises:
            UsageError: As for ``check``.
        """
        if self._current.reads_a_file:
            self.check(await asyncio.to_thread(text_of, self._path))

    async def take_over(self) -> Change:
        """Read it again and let hold from now on what can.

        Raises:
            UsageError: There is a mistake in it, or this agent was given its settings; nothing has changed.
        """
        fresh = await asyncio.to_thread(self._current.read_again)
        await self.check_as_it_is()
        change = self._current.take_over(fresh)
        if change.taken_over:
            self._events.emit("settings", taken_over=list(change.taken_over), needs_restart=list(change.needs_restart))
        return change


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


def _named(settings: Settings, name: str | None) -> Settings:
    return replace(settings, name=printable(name, MAX_TITLE)) if name else settings
