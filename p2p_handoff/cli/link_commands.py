# SPDX-License-Identifier: Apache-2.0
"""``handoff whoami|peers|link|unlink|rename``. Layer: cli. Specification: docs/cli.md §5."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.agent_process import reach
from p2p_handoff.cli.output import print_json, say, shown, table, when
from p2p_handoff.cli.progress import HandoffProgress

_LOOK_AROUND = 2.0
"""Seconds that ``peers`` gives discovery when nothing is in sight yet."""


@click.command()
@options.common
def whoami(home: Path, *, as_json: bool) -> None:
    """Show this device's name, its id, and its key in words."""
    result = reach(home).call("whoami")
    if as_json:
        print_json(result)
    else:
        click.echo(shown(f"{result['name']}  {result['device']}  ({result['key']})"))
        click.echo(shown(f"Its secret keys are in {result['keys_in']}."))


@click.command()
@options.common
@click.option("--watch", is_flag=True, help="Keep showing changes until Ctrl-C.")
def peers(home: Path, *, watch: bool, as_json: bool) -> None:
    """List devices that are linked or in sight."""
    client = reach(home)
    if watch:
        client.call("watch-peers", on_event=lambda _name, fields: _show_peers(fields, as_json=as_json))
        return
    _show_peers(client.call("peers", {"wait": _LOOK_AROUND}), as_json=as_json)


@click.command()
@options.common
@click.argument("code", required=False)
@click.option("--own", "kind", flag_value="own", help="It is my own device: handoffs between the two ask nothing.")
@click.option("--other", "kind", flag_value="other", help="It is someone else's: ask me about every handoff from it.")
def link(home: Path, code: str | None, kind: str | None, *, as_json: bool) -> None:
    """Link with another device, once.

    Without CODE this makes one and waits; type it on the other device. With CODE it joins; - asks for the code, or
    reads it from standard input that is no terminal, and then takes the other device for your own unless --other
    says otherwise.
    """
    if code == "-":
        if sys.stdin.isatty() and not as_json:
            from p2p_handoff.cli.code_prompt import ask_code  # noqa: PLC0415 - the words of codes, only at a prompt

            code = ask_code()
        else:
            code = sys.stdin.readline().strip()
            kind = kind or "own"
    client = reach(home)
    ask = None if as_json or not sys.stdin.isatty() else ask_choice
    with HandoffProgress(as_json=as_json, code_hint="handoff link {code}") as progress:
        result = client.call("link", {"code": code, "kind": kind}, on_event=progress.on_event, on_ask=ask)
    if as_json:
        print_json(result)
        return
    whose = "your own device" if result["kind"] == "own" else "someone else's device"
    click.echo(shown(f"Linked with {result['name']} ({whose})."))
    say(f"Next: stand in a folder and run:  handoff to {result['name']}")


@click.command()
@options.common
@click.argument("peer")
@click.option("--disown", is_flag=True, help="It may be in other hands: set aside all that it said of your devices.")
def unlink(home: Path, peer: str, *, disown: bool, as_json: bool) -> None:
    """Trust a device no longer, at once. Your own devices tell each other."""
    result = reach(home).call("unlink", {"peer": peer, "disown": disown})
    if as_json:
        print_json(result)
    else:
        click.echo(shown(f"{result['name']} is linked no more."))


@click.command()
@options.common
@click.argument("peer")
@click.argument("name")
def rename(home: Path, peer: str, name: str, *, as_json: bool) -> None:
    """Call a linked device by another name on this device."""
    result = reach(home).call("rename", {"peer": peer, "name": name})
    if as_json:
        print_json(result)
    else:
        click.echo(shown(f"It is called {result['name']} here from now on."))


def ask_choice(_name: str, question: Any, choices: list[Any]) -> Any:
    """Ask on the terminal; an empty line takes the first choice."""
    return click.prompt(
        shown(str(question)), type=click.Choice([str(choice) for choice in choices]), default=choices[0], err=True
    )


OnAsk = Callable[[str, Any, list[Any]], Any]


def _show_peers(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    rows = [
        [peer["name"], _whose(peer), _state(peer), policy_line(peer["policy"]), peer["key"], peer["device"][:8]]
        for peer in result["peers"]
    ]
    table(["NAME", "LINK", "STATE", "MAY", "KEY", "ID"], rows)
    if not rows:
        say("No device is in sight yet. Run 'handoff link' here, and on the other device the command that it shows.")
    for text in result["unclear"]:
        say(f"{text}; until that is clear these devices are refused everything: handoff config edit")
    if result["discovery"]:
        say(result["discovery"])


def _whose(peer: dict[str, Any]) -> str:
    whose = {"own": "own device", "other": "someone else's"}.get(peer["linked"], "not linked")
    return f"{whose}, by {peer['introduced_by']}" if peer["introduced_by"] else whose


def _state(peer: dict[str, Any]) -> str:
    if peer["online"]:
        return "online"
    return f"seen {when(peer['last_seen'])}" if peer["last_seen"] else "offline"


def policy_line(policy: dict[str, dict[str, Any]]) -> str:
    """What a device may do, in few words; kinds of parts that differ are named."""
    said = {kind: _terms_line(terms) for kind, terms in policy.items()}
    if len(set(said.values())) <= 1:
        return next(iter(said.values()), "")
    return "; ".join(f"{kind}: {line}" for kind, line in said.items())


def _terms_line(terms: dict[str, Any]) -> str:
    types = terms["may_leave"]
    gets = "" if len(types) == len(options.PART_TYPES) else f", gets {', '.join(types) or 'nothing'}"
    return f"push {terms['push']}, take {terms['take']}{gets}"
