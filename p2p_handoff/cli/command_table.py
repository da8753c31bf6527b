# SPDX-License-Identifier: Apache-2.0
"""A group of commands that loads each of them when it is run, not when the group is listed. Layer: cli.

``handoff --help`` needs one line of each command, which stands in the table; so it imports none of their modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from typing_extensions import override
else:  # importing it takes a sixth of what 'handoff --help' takes

    def override(method: Any) -> Any:
        """Mark a method for the type checker alone."""
        return method


class Entry(NamedTuple):
    """One command."""

    module: str
    """Within ``p2p_handoff.cli``; the command has its own name there."""
    summary: str
    """First paragraph of its help."""


class CommandTable(click.Group):
    """Lists its commands in the order of a table: that in which a person meets them.

    Args:
        table: Entry by the command's name.
        settings: Of ``click.Group``.
    """

    def __init__(self, *, table: Mapping[str, Entry], **settings: Any) -> None:
        super().__init__(**settings)
        self._table = table

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Names, in the order of the table."""
        return list(self._table)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command of a name, loaded now; None when there is none."""
        entry = self._table.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"p2p_handoff.cli.{entry.module}"), cmd_name)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """One line for each command, out of the table."""
        limit = formatter.width - 6 - max(map(len, self._table))
        summaries = {name: click.Command(name, help=entry.summary) for name, entry in self._table.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, shown.get_short_help_str(limit)) for name, shown in summaries.items()])
