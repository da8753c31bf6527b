# SPDX-License-Identifier: Apache-2.0
"""``handoff start|sessions|stop|history|undo|recover|events``. Layer: cli. Specification: docs/cli.md §6."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.agent_process import reach
from p2p_handoff.cli.output import print_json, say, shown, size, table, when
from p2p_handoff.errors import ExitCode


@click.command()
@options.common
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--title", help="What to call the session; the first path's name by default.")
def start(home: Path, paths: tuple[Path, ...], title: str | None, *, as_json: bool) -> None:
    """Make a session of folders and .jsonl conversations.

    A folder alone needs no 'start': 'handoff to' makes a session of it.
    """
    result = reach(home).call("start", {"paths": [str(path.absolute()) for path in paths], "title": title})
    if as_json:
        print_json(result)
        return
    parts = ", ".join(f"{part['name']} ({part['type']}, {size(part['bytes'])})" for part in result["parts"])
    click.echo(shown(f"Started {result['title']!r} ({result['session'][:8]}): {parts}"))


@click.command()
@options.common
def sessions(home: Path, *, as_json: bool) -> None:
    """List the sessions on this device."""
    result = reach(home).call("sessions")
    if as_json:
        print_json(result)
        return
    rows = [
        [
            item["title"],
            item["role"],
            str(item["epoch"]),
            item["primary"],
            item["session"][:8],
            ", ".join(item["paths"]),
        ]
        for item in result["sessions"]
    ]
    table(["TITLE", "ROLE", "EPOCH", "PRIMARY", "ID", "PATHS"], rows)
    for item in result["sessions"]:
        if item["fork"]["text"]:
            say(item["fork"]["text"])
        for text in filter(None, (item["not_in_place"], item["edited_here"]["text"])):
            say(f"{item['title']!r}: {text}")
    if not rows:
        say("No session yet. 'handoff to NAME' in a folder starts one and hands it over.")


@click.command()
@options.common
@options.session
def stop(home: Path, session: str | None, *, as_json: bool) -> None:
    """Take a session off the list; its files stay where they are.

    'handoff to PEER PATH' takes it up again.
    """
    result = reach(home).call("stop", options.named(session))
    if as_json:
        print_json(result)
    else:
        click.echo(shown(f"{result['title']!r} is off the list; its files stay where they are."))


@click.command()
@options.common
@options.session
@click.option("--verify", is_flag=True, help="Check every signature of the ownership chain.")
def history(home: Path, session: str | None, *, verify: bool, as_json: bool) -> None:
    """Show who had a session when, and what undo can bring back."""
    result = reach(home).call("history", {**options.named(session), "verify": verify})
    if as_json:
        print_json(result)
        return
    for line in result["history"]:
        match line["statement"]:
            case "genesis":
                fork = f" as a fork of {line['parent'][:8]}" if "parent" in line else ""
                click.echo(shown(f"epoch 1: started on {line['primary']}{fork}"))
            case "accepted":
                click.echo(shown(f"epoch {line['epoch']}: {line['primary']} took over"))
    for fork in result["forks"]:
        click.echo(shown(f"fork: {fork['text']}, {when(fork['at'])}"))
    for kept in result["generations"]:
        size_of = size(sum(part["bytes"] or 0 for part in kept["parts"]))
        about = f"{kept['text']}, {size_of}" if kept["parts"] else kept["text"]
        click.echo(shown(f"generation {kept['generation']}: {about}, {when(kept['kept_at'])}"))
    if verify:
        click.echo("Every signature of the chain is right.")


@click.command()
@options.common
@options.session
@click.option("--generation", type=click.IntRange(min=1), help="Another kept state; 'handoff history' lists them.")
def undo(home: Path, session: str | None, generation: int | None, *, as_json: bool) -> None:
    """Bring a session back as it was before a handoff.

    What it replaces is kept: a second undo takes the first one back.
    """
    result = reach(home).call("undo", {**options.named(session), "generation": generation})
    if as_json:
        print_json(result)
        return
    click.echo(
        shown(
            f"{result['title']!r} is as it was in generation {result['generation']};"
            f" what it replaced is generation {result['kept_as']}."
        )
    )
    for copy in result["conflicts"]:
        click.echo(shown(f"kept beside it: {copy}"))


@click.command()
@options.common
@options.session
@click.option("--wait", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Seconds to wait.")
@click.option("--force", is_flag=True, help="Go on without an answer, in a session of its own.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before --force.")
def recover(home: Path, session: str | None, wait: float, *, force: bool, yes: bool, as_json: bool) -> None:
    """Show handoffs in doubt, and wait for their answer."""
    if force:
        _force(home, session, yes=yes, as_json=as_json)
        return
    result = reach(home).call("recover", {**options.named(session), "wait": wait})
    if as_json:
        print_json(result)
    else:
        _say_unsettled(result)
    if not result["resolved"]:
        raise SystemExit(int(ExitCode.IN_DOUBT))
    if result["lost"]:
        raise SystemExit(int(ExitCode.TRUST))


def _say_unsettled(result: dict[str, Any]) -> None:
    if result["resolved"]:
        click.echo("No handoff is in doubt.")
    old_copy = [result["old_copy"]] if result["old_copy"] else []
    for item in (*result["in_doubt"], *old_copy, *result["lost"]):
        click.echo(shown(item["text"]))


def _force(home: Path, session: str | None, *, yes: bool, as_json: bool) -> None:
    ask = ask_yes_no if sys.stdin.isatty() and not as_json else None
    args = {**options.named(session), "force": True, "confirmed": yes or as_json}
    result = reach(home).call("recover", args, on_ask=ask)
    if as_json:
        print_json(result)
    else:
        places = ", ".join(result["paths"])
        click.echo(shown(f"The work goes on in {result['title']!r}: {places}"))


def ask_yes_no(_name: str, question: object, _choices: list[object]) -> str:
    """Ask on the terminal; anything but a yes is a no."""
    return "yes" if click.confirm(shown(str(question)), default=False, err=True) else "no"


@click.command()
@options.common
def events(home: Path, *, as_json: bool) -> None:
    """Show what happens, until Ctrl-C."""

    def show(name: str, fields: dict[str, object]) -> None:
        if as_json:
            print_json({"event": name, **fields})
        else:
            click.echo(shown(f"{name}  " + "  ".join(f"{key}={value}" for key, value in fields.items())))

    reach(home).call("events", on_event=show)
