# SPDX-License-Identifier: Apache-2.0
"""``handoff agent run|status|stop``. Layer: cli. Specification: docs/cli.md §4."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.agent_process import STOP_DEADLINE, agent_argv, running
from p2p_handoff.cli.output import print_json
from p2p_handoff.cli.status_commands import status
from p2p_handoff.control.client import Client
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import TimedOutError, UsageError
from p2p_handoff.settings.words import VISIBLE


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


agent.add_command(status)


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
