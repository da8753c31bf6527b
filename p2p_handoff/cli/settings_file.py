# SPDX-License-Identifier: Apache-2.0
"""The settings file as ``handoff config`` works on it, with or without a running agent. Layer: cli.

Specification: docs/cli.md §8. Imported late: reading settings needs more modules than most commands do. The commands
work on the file itself, so that a broken one can be mended; a running agent is asked whether its links agree with a
change, and told of it. None is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from p2p_handoff.cli.editor import Draft
from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import NotFoundError, UnreachableError, UsageError
from p2p_handoff.settings import editing
from p2p_handoff.settings.config import CONFIG_NAME, credential_path, settings_of, text_of
from p2p_handoff.settings.editing import File
from p2p_handoff.settings.keys import Branch, find
from p2p_handoff.settings.listing import listed
from p2p_handoff.settings.reading import Document, complaint, read

NO_AGENT: Final = "none"
NEEDS_RESTART: Final = "needs-restart"
TAKEN_OVER: Final = "taken-over"
UNCHANGED: Final = "unchanged"


class SettingsFile:
    """The ``config.toml`` of a home.

    Args:
        home: An agent's data directory.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / CONFIG_NAME
        self._home = home

    @property
    def is_there(self) -> bool:
        """Whether the user has chosen anything yet."""
        return self.path.exists()

    def settings(self, key: str = "") -> list[dict[str, Any]]:
        """All settings that hold, or those of a key or a table, JSON-ready.

        Raises:
            UsageError: No such key, or there is a mistake in the file.
        """
        path = editing.path_of(key) if key else ()
        return [item.as_json() for item in listed(_good(self._read()), path)]

    def is_table(self, key: str) -> bool:
        """Whether a key is a table.

        Raises:
            UsageError: There is no such key.
        """
        return isinstance(find(editing.path_of(key)), Branch)

    def setting(self, key: str) -> dict[str, Any]:
        """One setting.

        Raises:
            NotFoundError: It is not set and has no default.
            UsageError: As for ``settings``.
        """
        found = self.settings(key)
        if not found:
            raise NotFoundError(f"{key} is not set and has no default", advice="a more general table decides")
        return found[0]

    def set(self, key: str, word: str) -> tuple[Any, str]:
        """Change one setting; returns its value, and what a running agent made of it.

        Raises:
            UsageError: The key or the value is wrong, or the file cannot be changed so; nothing was written.
            StorageError: It cannot be written.
        """
        path = editing.path_of(key)
        value = editing.value_from(path, word)
        with editing.alone(self._home):
            return value, self._install(editing.with_value(self._read(), path, value), path[0])

    def unset(self, key: str) -> str:
        """Take a key or a table out; returns what a running agent made of it.

        Raises:
            NotFoundError: The file does not have it.
            UsageError, StorageError: As for ``set``.
        """
        path = editing.path_of(key)
        with editing.alone(self._home):
            return self._install(editing.without(self._read(), path), path[0])

    def draft(self) -> Draft:
        """What the user edits."""
        with editing.alone(self._home):
            return Draft(self.path, self._read().text)

    def install(self, draft: Draft, text: str) -> str:
        """Use what the user made of a draft; returns what a running agent made of it.

        Raises:
            UsageError: There is a mistake in it; nothing was written.
            CancelledError: The file was changed meanwhile.
            StorageError: It cannot be written.
        """
        with editing.alone(self._home):
            draft.check_unchanged(self._read().text)
            return self._install(text)

    def keep_credential(self, word: str) -> Path:
        """Write the password for TURN servers into its file, for this user alone; returns where that is.

        Raises:
            UsageError: There is a mistake in the settings, or the password is empty.
            StorageError: It cannot be written.
        """
        if not word.strip():
            raise UsageError("the credential is empty", state="nothing was written")
        with editing.alone(self._home):
            path = credential_path(settings_of(_good(self._read())), self._home)
            editing.save(path, f"{word.strip()}\n")
        return path

    def _read(self) -> File:
        return File(self.path, text_of(self.path))

    def _install(self, text: str, changed: str = "") -> str:
        _good(File(self.path, text))
        client = Client(socket_path(self._home))
        running = client.running()
        if running:
            client.call("check-settings", {"text": text})
        editing.save(self.path, text)
        return _taken_over(client, changed) if running else NO_AGENT


def _good(file: File) -> Document:
    document = read(file.text)
    if document.mistakes:
        raise complaint(file.path, document.mistakes)
    return document


def _taken_over(client: Client, changed: str) -> str:
    """Tell a running agent.

    Args:
        client: Speaks to it.
        changed: The key of the top level that was changed; empty for any.
    """
    try:
        result = client.call("take-over-settings")
    except UnreachableError:
        return NO_AGENT
    for answer, names in ((NEEDS_RESTART, result["needs_restart"]), (TAKEN_OVER, result["taken_over"])):
        if changed in names or (not changed and names):
            return answer
    return UNCHANGED
