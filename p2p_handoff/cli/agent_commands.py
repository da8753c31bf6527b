# SPDX-License-Identifier: Apache-2.0
"""``handoff agent run|status|stop``. Layer: cli. Specification: docs/cli.md §4."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.agent_process import STOP_DEADLINE, agent_argv, running
from p2p_handoff.cli.output import counted, print_json, shown
from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import TimedOutError, UsageError
from p2p_handoff.settings.words import VISIBLE

_VISIBLE = {
    "everyone": "everyone on the network sees its name",
    "linked": "linked devices recognise it on the network, nobody else does",
    "nobody": "it announces itself to nobody on the network",
}


@click.group()
def agent() -> None:
    """Run this device's agent, look at it, or stop it."""


@agent.command()
@options.common
@options.network
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port of the embedded relay; any free one by default.")
@click.option("--visible", type=click.Choice(VISIBLE), help="Who recognises this device by mDNS.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning")
def run(
    home: Path,
    name: str | None,
    engine: str | None,
    relays: tuple[str, ...],
    peers: tuple[str, ...],
    port: int | None,
    visible: str | None,
    log_level: str,
    *,
    no_mdns: bool,
    as_json: bool,
) -> None:
    """Run the agent in this terminal; it asks here when a request arrives. Ctrl-C stops it."""
    if Client(socket_path(home)).running():
        raise UsageError(
            "an agent is already running on this home",
            advice="'handoff agent status' shows it, 'handoff agent stop' ends it",
        )
    argv = [*agent_argv(home), *options.network_argv(name, engine, relays, peers, no_mdns=no_mdns)]
    argv += ["--port", str(port)] if port is not None else []
    argv += ["--visible", visible] if visible is not None else []
    argv += ["--background"] if as_json else []
    os.execv(argv[0], [*argv, "--log-level", log_level])  # noqa: S606 - our own interpreter and module


@agent.command()
@options.common
def status(home: Path, *, as_json: bool) -> None:
    """Tell what the agent is doing."""
    result = running(home).call("status")
    if as_json:
        print_json(result)
        return
    for line in _status_lines(result):
        click.echo(shown(line))


@agent.command()
@options.common
def stop(home: Path, *, as_json: bool) -> None:
    """Stop the agent; handoffs under way are taken up at its next start."""
    client = running(home)
    result = client.call("stop-agent")
    deadline = time.monotonic() + STOP_DEADLINE
    while client.running():
        if time.monotonic() > deadline:
            raise TimedOutError("the agent is still stopping", advice="look again in a moment")
        time.sleep(0.02)
    if as_json:
        print_json(result)
    else:
        click.echo("The agent has stopped.")


@agent.command()
@options.common
def reload(home: Path, *, as_json: bool) -> None:
    """Have the running agent read its settings again, after you edited the file by hand."""
    result = running(home).call("take-over-settings")
    if as_json:
        print_json(result)
        return
    for key, words in (("taken_over", "Taken over"), ("needs_restart", "Only after a restart (handoff agent stop)")):
        if result[key]:
            click.echo(f"{words}: {', '.join(result[key])}.")
    if not result["taken_over"] and not result["needs_restart"]:
        click.echo("Nothing has changed.")


def _status_lines(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['name']} ({result['device'][:8]}), engine {result['engine']}, port {result['port']}"
    yield ", ".join(
        (
            counted(result["peers_online"], "device") + " in sight",
            counted(result["sessions"], "session"),
            counted(result["active"], "handoff") + " under way",
        )
    )
    yield f"handoff is {'on' if result['handoff'] else 'switched off'}; new sessions go to {result['receive_dir']}"
    yield _VISIBLE[result["visible"]]
    yield f"its secret keys are in {result['keys_in']}"
    if result["requests"]:
        yield f"{counted(result['requests'], 'request')} to answer: handoff requests"
    old_copy = [result["old_copy"]] if result["old_copy"] else []
    for item in (*result["in_doubt"], *old_copy, *result["lost"], *result["forks"]):
        yield item["text"]
    for item in (*result["not_in_place"], *result["edited_here"]):
        yield f"{item['title']!r}: {item['text']}"
    for url, problem in result["relays"].items():
        yield f"relay {url}: {problem or 'connected'}"
    if result["discovery"]:
        yield f"discovery: {result['discovery']}"
