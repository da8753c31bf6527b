# SPDX-License-Identifier: Apache-2.0
"""Spoils an agent on purpose, when this directory is on its path and HANDOFF_SABOTAGE names a bug.

Python imports a module of this name before anything else (tests/chaos/bugs.py). Each function replaces one thing in
the product; one that finds nothing to replace fails loudly, so that no bug silently stops being one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_REFUSING = "STORE_REFUSAL"


def _replace(owner: Any, name: str, value: Any) -> None:
    if not hasattr(owner, name):
        sys.exit(f"sabotage: {owner} has no {name} any more")
    setattr(owner, name, value)


def commits_are_forgotten() -> None:
    """What is accepted and still has to be put in place is not written down."""
    from p2p_handoff.store.incoming import IncomingHandoffs  # noqa: PLC0415

    _replace(IncomingHandoffs, "_expect_commit", lambda *_: None)


def refusal_is_said_unstored() -> None:
    """A target that knows nothing of a handoff says no without remembering it."""
    from p2p_handoff.agent import aftermath  # noqa: PLC0415

    _replace(aftermath, "_store_refusal", aftermath._refuse)
    aftermath._ANSWERS.update({answer: aftermath._refuse for answer in aftermath._ANSWERS if answer.name == _REFUSING})


def commits_are_not_synced() -> None:
    """The database says that a transaction is durable, and the disk does not know of it."""
    from p2p_handoff.store import database  # noqa: PLC0415

    weak = tuple(setting.replace("synchronous = FULL", "synchronous = OFF") for setting in database._SETTINGS)
    if weak == database._SETTINGS:
        sys.exit("sabotage: the database is not synced anyway")
    _replace(database, "_SETTINGS", weak)


def files_are_not_synced() -> None:
    """No file and no directory is synced before it is relied on; the database is."""
    _replace(os, "fsync", lambda _descriptor: None)


def restart_thaws() -> None:
    """An agent that starts takes what is frozen for its own again."""
    from p2p_handoff.store.store import Store  # noqa: PLC0415

    real = Store.__init__

    def opened(self: Any, database: Any, *arguments: Any) -> None:
        with database.transaction():
            database.write("UPDATE sessions SET role = 'primary', frozen_txn = NULL, forked = 0 WHERE role = 'frozen'")
        real(self, database, *arguments)

    _replace(Store, "__init__", opened)


def files_are_overwritten_in_place() -> None:
    """A conversation is not exchanged with the new one, but overwritten."""
    from p2p_handoff.adapters import conversation_place  # noqa: PLC0415

    def overwrite(staged: int, staged_name: bytes, target: int, name: bytes) -> None:
        source = os.open(staged_name, os.O_RDONLY, dir_fd=staged)
        destination = os.open(name, os.O_WRONLY | os.O_TRUNC, dir_fd=target)
        while piece := os.read(source, 100):
            os.write(destination, piece)
        os.close(source)
        os.close(destination)
        os.unlink(staged_name, dir_fd=staged)

    _replace(conversation_place, "exchange", overwrite)


def goes_on_after_io_errors() -> None:
    """A database whose sync failed is written to again."""
    from p2p_handoff.store import database  # noqa: PLC0415

    _replace(database, "_FATAL", frozenset())


_BUGS: dict[str, Callable[[], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        commits_are_forgotten,
        refusal_is_said_unstored,
        commits_are_not_synced,
        files_are_not_synced,
        restart_thaws,
        files_are_overwritten_in_place,
        goes_on_after_io_errors,
    )
}

if "HANDOFF_SABOTAGE" in os.environ:
    _BUGS[os.environ["HANDOFF_SABOTAGE"]]()
