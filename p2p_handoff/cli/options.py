# SPDX-License-Identifier: Apache-2.0
"""Options that commands share. Layer: cli. Specification: docs/cli.md §1."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

PART_TYPES = ("messages", "documents", "context", "files")


def home(function: Command) -> Command:
    """``handoff --home DIR``, for all commands."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="HANDOFF_HOME",
        help="The agent's data directory, for any command; $HANDOFF_HOME says the same.",
    )(function)


def common(function: Command) -> Command:
    """``--home`` and ``--json``."""
    function = click.option(
        "--json", "as_json", is_flag=True, help="One JSON object per line; the last is the result."
    )(function)
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=_home,
        show_default="$HANDOFF_HOME, else the platform's place for data",
        help="The agent's data directory.",
    )(function)


def session(function: Command) -> Command:
    """``[SESSION]``; ``named`` makes the agent's arguments of it."""
    return click.argument("session", required=False)(function)


def named(session: str | None) -> dict[str, str | None]:
    """What was typed for SESSION and where, as the agent wants it."""
    here = None
    with contextlib.suppress(FileNotFoundError):  # The folder may be gone that the shell stands in.
        here = str(Path.cwd())
    return {"session": session, "here": here}


def only(function: Command) -> Command:
    """``--only TYPE,…``."""
    return click.option(
        "--only", callback=_types, metavar="TYPE,…", help=f"Only parts of these types: {', '.join(PART_TYPES)}."
    )(function)


def secrets(function: Command) -> Command:
    """``--include-secrets`` and ``--include-secret PATH``; ``let`` makes the agent's argument of them."""
    function = click.option(
        "--include-secrets", is_flag=True, help="Send what looks like a secret to somebody else's device as well."
    )(function)
    return click.option(
        "--include-secret", "secret", multiple=True, metavar="PATH", help="The same for one file only; repeatable."
    )(function)


def let(paths: tuple[str, ...], *, everything: bool) -> bool | list[str]:
    """Which secrets may leave, as the agent wants it: all, or those at some paths within their parts."""
    return everything or list(paths)


def profile(function: Command) -> Command:
    """``--profile``."""
    return click.option("--profile", is_flag=True, help="Say at the end where the time went, and what limited it.")(
        function
    )


def into(function: Command) -> Command:
    """``--into DIR``."""
    return click.option(
        "--into",
        type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
        help="Directory for what is new on this device.",
    )(function)


def network(function: Command) -> Command:
    """Options of commands that run an agent of their own."""
    function = click.option("--no-mdns", is_flag=True, help="Neither announce nor look for devices by mDNS.")(function)
    function = click.option(
        "--peer", "peers", multiple=True, metavar="HOST:PORT", help="A device that discovery cannot find."
    )(function)
    function = click.option("--relay", "relays", multiple=True, metavar="URL", help="A shared relay, ws:// or wss://.")(
        function
    )
    function = click.option("--engine", type=click.Choice(["auto", "aiortc", "wrtc"]), help="WebRTC engine.")(function)
    return click.option("--name", help="Display name of this device.")(function)


def network_argv(
    name: str | None, engine: str | None, relays: tuple[str, ...], peers: tuple[str, ...], *, no_mdns: bool
) -> list[str]:
    """The same options as arguments of the agent's process."""
    argv: list[str] = []
    for option, value in (("--name", name), ("--engine", engine)):
        argv += [option, value] if value else []
    for url in relays:
        argv += ["--relay", url]
    for address in peers:
        argv += ["--peer", address]
    return [*argv, "--no-mdns"] if no_mdns else argv


def _home() -> Path:
    """What ``handoff --home`` or the environment says, for a command without a ``--home`` of its own."""
    home: Path | None = click.get_current_context().find_root().params.get("home")
    if home is None:
        from p2p_handoff.places import default_home  # noqa: PLC0415 - platformdirs, where nobody says a home

        home = default_home()
    return home


def _types(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    wished = [item.strip() for item in (value or "").split(",") if item.strip()]
    for item in wished:
        if item not in PART_TYPES:
            raise click.BadParameter(f"{item!r} is no part type; types are {', '.join(PART_TYPES)}")
    return wished
