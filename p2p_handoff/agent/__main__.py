# SPDX-License-Identifier: Apache-2.0
"""The agent's process: ``python -m p2p_handoff.agent``; started by ``handoff agent run``. Layer: agent.

Specification: docs/cli.md §4. Errors go to standard error as one sentence, with the documented exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import handlers
from p2p_handoff.agent.foreground import Foreground
from p2p_handoff.control.server import ControlServer
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import HandoffError
from p2p_handoff.places import default_home
from p2p_handoff.settings.config import Settings, load
from p2p_handoff.settings.words import KEYS, VISIBLE
from p2p_handoff.store.home import prepare

SWITCH_INTERVAL: Final = 0.0005
"""Seconds for which a thread that computes keeps the interpreter while the event loop waits for it. With Python's five
milliseconds a step that reads 32 datagrams stood still for a tenth of a second beside the verification of a chain."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run an agent until it is told to stop.

    Returns:
        The process's exit code.
    """
    options = _parser().parse_args(argv)
    _log_to(options.log_level)
    _leave_no_core()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        asyncio.run(_run(options))
    except HandoffError as error:
        print(error.sentence, file=sys.stderr)  # noqa: T201 - the process has no other voice
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="handoff agent run", description="Run an agent in the foreground.")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--name")
    parser.add_argument("--engine", choices=("auto", "aiortc", "wrtc"))
    parser.add_argument("--relay", action="append", default=[], metavar="URL")
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--port", type=int)
    parser.add_argument("--no-mdns", action="store_true")
    parser.add_argument("--visible", choices=VISIBLE)
    parser.add_argument("--keys", choices=KEYS)
    parser.add_argument("--background", action="store_true", help="no terminal: log only")
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    return parser


def _settings(options: argparse.Namespace, home: Path) -> Settings:
    settings = load(home)
    if options.name:
        settings = replace(settings, name=options.name)
    if options.engine:
        settings = replace(settings, engine=options.engine)
    if options.port is not None:
        settings = replace(settings, port=options.port)
    if options.no_mdns:
        settings = replace(settings, mdns=False)
    if options.keys:
        settings = replace(settings, keys=options.keys)
    if options.visible:
        settings = replace(settings, visible=options.visible)
    return replace(settings, relays=(*settings.relays, *options.relay), peers=(*settings.peers, *options.peer))


async def _run(options: argparse.Namespace) -> None:
    home = prepare(options.home if options.home is not None else default_home())
    read = partial(_settings, options, home.path)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with (
        Agent(home.path, settings=read) as agent,
        ControlServer(socket_path(home.path), handlers(agent, stopped.set)),
    ):
        _settle_memory()
        shown = None if options.background else asyncio.create_task(Foreground(agent).run())
        await stopped.wait()
        if shown is not None:
            shown.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await shown


def _settle_memory() -> None:
    """Leave what stays for as long as the process out of collections: one over all of it stops the loop for 70 ms."""
    gc.collect()
    gc.freeze()


def _leave_no_core() -> None:
    """An image of this process has its keys: a crash writes none. What a resume command starts may raise the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _log_to(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for noisy in ("aioice", "aiortc", "zeroconf", "aiohttp.access", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
