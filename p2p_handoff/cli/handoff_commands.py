# SPDX-License-Identifier: Apache-2.0
"""``handoff to|take|requests|accept|reject|send|receive``. Layer: cli. Specification: docs/cli.md §7."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.agent_process import reach, short_lived
from p2p_handoff.cli.interrupt import taking_back
from p2p_handoff.cli.output import print_json, say, shown, size, table
from p2p_handoff.cli.profile_shown import lines as profile_lines
from p2p_handoff.cli.progress import HandoffProgress
from p2p_handoff.cli.secrets_shown import lines
from p2p_handoff.control.client import Client


@click.command()
@options.common
@click.argument("peer")
@options.session
@options.only
@click.option("--max-pause", type=click.IntRange(1, 60_000), metavar="MS", help="How short the pause shall be.")
@options.secrets
@options.profile
def to(
    home: Path,
    peer: str,
    session: str | None,
    only: list[str],
    max_pause: int | None,
    secret: tuple[str, ...],
    *,
    include_secrets: bool,
    profile: bool,
    as_json: bool,
) -> None:
    """Hand a session over to another device.

    SESSION is a title, an id or a path; by default it is the session of the folder you stand in, which becomes one
    if it is none yet.
    """
    args = {
        **options.named(session),
        "peer": peer,
        "only": only,
        "max_pause": max_pause / 1000 if max_pause else None,
        "secrets": options.let(secret, everything=include_secrets),
    }
    _carry(reach(home), "to", args, as_json=as_json, profile=profile)


@click.command()
@options.common
@options.session
@click.option("--from", "source", metavar="PEER", help="The device to ask; by default whoever has it.")
@options.only
@options.into
@options.profile
def take(
    home: Path,
    session: str | None,
    source: str | None,
    only: list[str],
    into: Path | None,
    *,
    profile: bool,
    as_json: bool,
) -> None:
    """Fetch a session from your own device that has it.

    SESSION is a title or an id ('handoff sessions' on the other device lists them), or a path here; by default it is
    the session of the folder you stand in, else the only one that this device knows.
    """
    args = {**options.named(session), "from": source, "only": only, "into": str(into) if into else None}
    _carry(reach(home), "take", args, as_json=as_json, profile=profile)


@click.command()
@options.common
def requests(home: Path, *, as_json: bool) -> None:
    """List requests that wait for your answer."""
    result = reach(home).call("requests")
    if as_json:
        print_json(result)
        return
    rows = [
        [
            item["token"],
            item["from"],
            {"push": "gives", "take": "takes"}[item["wish"]],
            item["title"],
            ", ".join(f"{part['name']} ({part['type']}, {size(part['bytes'])})" for part in item["parts"]),
            f"{item['expires_in']} s",
        ]
        for item in result["requests"]
    ]
    table(["TOKEN", "DEVICE", "WISH", "SESSION", "PARTS", "EXPIRES"], rows)
    for item in result["requests"]:
        for line in lines(item["secrets"]):
            say(f"{item['token']}: {line}")
        if item["more_secrets"]:
            say(f"{item['token']}: and {item['more_secrets']} more of what looks like a secret")
    if result["more"]:
        say(f"{result['more']} more wait: they are shown when some of these are answered.")
    if rows:
        say("Answer with:  handoff accept TOKEN  or  handoff reject TOKEN")
    else:
        say("No request waits for an answer.")


@click.command()
@options.common
@click.argument("token", required=False)
@options.only
@options.into
def accept(home: Path, token: str | None, only: list[str], into: Path | None, *, as_json: bool) -> None:
    """Accept a request and wait until the session is here, or there.

    TOKEN is from 'handoff requests'; it may be left away when only one request waits.
    """
    args = {"token": token, "only": only, "into": str(into) if into else None}
    _carry(reach(home), "accept", args, as_json=as_json)


@click.command()
@options.common
@click.argument("token", required=False)
@click.option("--reason", help="Why; the other side sees it.")
def reject(home: Path, token: str | None, reason: str | None, *, as_json: bool) -> None:
    """Reject a request.

    TOKEN is from 'handoff requests'; it may be left away when only one request waits.
    """
    result = reach(home).call("reject", {"token": token, "reason": reason})
    if as_json:
        print_json(result)
    else:
        click.echo(shown(f"Rejected {result['title']!r} from {result['from']}."))


@click.command()
@options.network
@options.secrets
@options.profile
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line; the last is the result.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
def send(
    paths: tuple[Path, ...],
    name: str | None,
    engine: str | None,
    relays: tuple[str, ...],
    peers: tuple[str, ...],
    secret: tuple[str, ...],
    *,
    include_secrets: bool,
    profile: bool,
    no_mdns: bool,
    as_json: bool,
) -> None:
    """Copy folders and conversations to whoever types the code.

    No agent needs to run, no link is made, and nothing changes owner. The command waits for the other side.
    """
    let = options.let(secret, everything=include_secrets)
    args = {"paths": [str(path.absolute()) for path in paths], "secrets": let}
    with short_lived(options.network_argv(name, engine, relays, peers, no_mdns=no_mdns)) as client:
        _carry(client, "send", args, as_json=as_json, profile=profile, code_hint="handoff receive {code}")


@click.command()
@options.network
@options.into
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line; the last is the result.")
@click.argument("code", required=False)
def receive(
    code: str | None,
    into: Path | None,
    name: str | None,
    engine: str | None,
    relays: tuple[str, ...],
    peers: tuple[str, ...],
    *,
    no_mdns: bool,
    as_json: bool,
) -> None:
    """Receive what 'handoff send' offers.

    Asks for CODE if it is not given; - reads it from standard input. Arrives in the folder you stand in.
    """
    if code == "-":
        code = sys.stdin.readline().strip()
    if code is None:
        code = click.prompt("Code", err=True)
    args = {"code": code, "into": str(into or Path.cwd())}
    with short_lived(options.network_argv(name, engine, relays, peers, no_mdns=no_mdns)) as client:
        _carry(client, "receive", args, as_json=as_json)


def _carry(
    client: Client,
    command: str,
    args: dict[str, Any],
    *,
    as_json: bool,
    profile: bool = False,
    code_hint: str = "",
) -> None:
    """Run a command that ends with a report, and exit with the report's code."""
    with HandoffProgress(as_json=as_json, code_hint=code_hint) as progress, taking_back(client):
        report = client.call(command, args, on_event=progress.on_event)
    if as_json:
        print_json(report)
    else:
        _show_report(report)
        for line in profile_lines(report["profile"]) if profile else ():
            click.echo(line)
    if report["exit_code"]:
        raise SystemExit(int(report["exit_code"]))


def _show_report(report: dict[str, Any]) -> None:
    if report["outcome"] != "done":
        say(f"handoff: {report['text']}")
        return
    moved = max(report["sent_bytes"], report["received_bytes"])
    places = ", ".join(report["into"])
    click.echo(
        shown(f"{report['title']!r} is here: {places}" if places else f"{report['title']!r} is on {report['peer']}.")
    )
    pause = f", paused {report['pause_ms']:.0f} ms" if report["pause_ms"] else ""
    click.echo(f"{size(moved)} in {report['seconds']:.1f} s{pause} ({report['engine']}, {report['path']})")
    for name in report["withheld"]:
        say(f"{name} stayed here: the settings of this device do not let it leave to {report['peer']}")
    for path in report["left_out"]:
        say(f"{path} stayed here: it is no file, folder or link, or has a name that handoff uses for itself")
    for conflict in report["conflicts"]:
        say(f"changed on both sides; this device's version is kept as {conflict}")
    for line in lines(report["secrets"]) if places else ():  # The source was told before it sent anything.
        say(line)
    if report["resumed"]:
        say(report["resumed"])
