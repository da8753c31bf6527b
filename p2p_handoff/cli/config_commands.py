# SPDX-License-Identifier: Apache-2.0
"""``handoff config``: the settings file, shown and changed. Layer: cli. Specification: docs/cli.md §8."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.output import print_json, say, shown, table
from p2p_handoff.errors import CancelledError, UsageError

if TYPE_CHECKING:
    from p2p_handoff.cli.editor import Draft
    from p2p_handoff.cli.settings_file import SettingsFile

_TOLD = {
    "none": "It holds from the agent's next start on.",
    "taken-over": "The running agent has taken it over.",
    "needs-restart": "The running agent takes it over when it is started again: handoff agent stop",
    "unchanged": "For the running agent nothing changes.",
}


@click.group(invoke_without_command=True)
@options.common
@click.pass_context
def config(context: click.Context, home: Path, *, as_json: bool) -> None:
    """Show the settings, or change them."""
    if context.invoked_subcommand is None:
        _show(home, as_json=as_json)


@config.command()
@options.common
def show(home: Path, *, as_json: bool) -> None:
    """Show every setting, and whether it is a default or from which line of the file."""
    _show(home, as_json=as_json)


@config.command()
@options.common
@click.argument("key")
def get(home: Path, key: str, *, as_json: bool) -> None:
    """Print one setting, or all of a table.

    KEY is as in 'handoff config show', such as max_pause or policy.own.
    """
    file = _file(home)
    if file.is_table(key):
        found = file.settings(key)
        if as_json:
            print_json({"settings": found})
        for item in () if as_json else found:
            click.echo(shown(f"{item['key']} = {_toml(item['value'])}"))
        return
    setting = file.setting(key)
    if as_json:
        print_json(setting)
    else:
        click.echo(shown(setting["value"] if isinstance(setting["value"], str) else _toml(setting["value"])))


@config.command("set")
@options.common
@click.argument("key")
@click.argument("value")
def set_(home: Path, key: str, value: str, *, as_json: bool) -> None:
    """Change one setting.

    For instance: handoff config set device.desktop.push ask. Lists may be written with commas. Nothing is written
    that the agent could not start with.
    """
    file = _file(home)
    made, agent = file.set(key, value)
    if as_json:
        print_json({"key": key, "value": made, "path": str(file.path), "agent": agent})
    else:
        click.echo(shown(f"{key} = {_toml(made)}"))
        say(_TOLD[agent])


@config.command()
@options.common
@click.argument("key")
def unset(home: Path, key: str, *, as_json: bool) -> None:
    """Take a key or a table out of the file; its default holds again."""
    file = _file(home)
    agent = file.unset(key)
    if as_json:
        print_json({"key": key, "path": str(file.path), "agent": agent})
    else:
        click.echo(shown(f"{key} is not set any more."))
        say(_TOLD[agent])


@config.command()
@options.common
def edit(home: Path, *, as_json: bool) -> None:
    """Open the file in your editor ($VISUAL or $EDITOR); a broken one is never installed."""
    file = _file(home)
    draft = file.draft()
    agent = None
    while agent is None:
        agent = _edited(file, draft, ask=not as_json)
    draft.discard()
    if as_json:
        print_json({"path": str(file.path), "changed": bool(agent), "agent": agent or "unchanged"})
    else:
        say(_TOLD[agent] if agent else "Nothing was changed.")


@config.command()
@options.common
@click.argument("source", required=False, type=click.Choice(["-"]), metavar="[-]")
def credential(home: Path, source: str | None, *, as_json: bool) -> None:
    """Ask for the password for your TURN servers, and write it into a file for you alone.

    With - it is read from standard input. It goes neither into the settings nor into a list of processes.
    """
    word = sys.stdin.readline() if source else click.prompt("Credential", hide_input=True, err=True)
    path = _file(home).keep_credential(word)
    if as_json:
        print_json({"path": str(path)})
    else:
        say(f"Written to {path}. A running agent uses it when it is started again: handoff agent stop")


def _edited(file: SettingsFile, draft: Draft, *, ask: bool) -> str | None:
    """What an agent made of one turn in the editor: empty for no change, None where it has to be edited again."""
    text = draft.edit()
    if not draft.is_changed(text):
        return ""
    try:
        return file.install(draft, text)
    except UsageError as error:
        _again_or_leave(error, draft.path, ask=ask)
        return None


def _again_or_leave(error: UsageError, draft: Path, *, ask: bool) -> None:
    """Offer to go on with a draft that has a mistake.

    Raises:
        UsageError: Nobody can be asked.
        CancelledError: The person has had enough.
    """
    error.state = f"the settings are as they were, and the draft is kept as {draft}"
    if not ask or not sys.stdin.isatty():
        raise error
    say(f"handoff: {error.sentence}")
    if not click.confirm("Edit again?", default=True, err=True):
        raise CancelledError("the settings are as they were", advice=f"the draft is kept as {draft}")


def _show(home: Path, *, as_json: bool) -> None:
    file = _file(home)
    found = file.settings()
    if as_json:
        print_json({"path": str(file.path), "settings": found})
        return
    say(f"{file.path}{'' if file.is_there else ' (not there yet: these are the defaults)'}")
    rows = [
        [item["key"], _toml(item["value"]), "default" if item["line"] is None else f"line {item['line']}"]
        for item in found
    ]
    table(["KEY", "VALUE", "FROM"], rows)


def _file(home: Path) -> SettingsFile:
    from p2p_handoff.cli.settings_file import SettingsFile  # noqa: PLC0415 - other commands start without settings

    return SettingsFile(home)


def _toml(value: Any) -> str:
    """A value as the file has it."""
    return json.dumps(value, ensure_ascii=False)
