# SPDX-License-Identifier: Apache-2.0
"""``handoff-relay``: a relay that stands alone. Layer: signaling, command line. Guide: docs/relay.md."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from p2p_handoff.errors import HandoffError, UsageError
from p2p_handoff.limits import RELAY_MAX_CLIENTS, RELAY_MAX_PER_ADDRESS, RELAY_MAX_ROOMS
from signaling.login import host_label
from signaling.policy import SharedPolicy
from signaling.relay import PATH, Capacity, Relay
from signaling.server import serve

DEFAULT_PORT: Final = 8787


@dataclass(frozen=True, slots=True)
class _Options:
    hosts: tuple[str, ...]
    port: int
    names: tuple[str, ...]
    tls_cert: Path | None
    tls_key: Path | None
    behind_proxy: bool
    max_clients: int
    max_per_address: int
    max_rooms: int


def _tls_context(options: _Options) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        if options.tls_key is not None:
            raise UsageError("--tls-key needs --tls-cert")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the certificate or its key cannot be used: {error}") from error
    return context


def _relay(options: _Options) -> Relay:
    machine = socket.gethostname().lower()
    return Relay(
        SharedPolicy(),
        hosts=(*options.names, machine, f"{machine.partition('.')[0]}.local"),
        behind_proxy=options.behind_proxy,
        capacity=Capacity(options.max_clients, options.max_per_address, options.max_rooms),
    )


async def _until_signalled() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


async def _run(options: _Options) -> None:
    tls = _tls_context(options)
    scheme = "ws" if tls is None else "wss"
    async with serve(_relay(options).application(), options.hosts, options.port, tls=tls) as addresses:
        for host, port in addresses:
            click.echo(f"relay listening on {scheme}://{host_label(host, port)}{PATH}")
        await _until_signalled()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", "hosts", multiple=True, help="Address to listen on; repeatable.  [default: all]")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="TCP port.")
@click.option("--name", "names", multiple=True, help="Host name that clients dial, with or without :port; repeatable.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain (PEM): serve wss.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Key of the certificate (PEM).")
@click.option("--behind-proxy", is_flag=True, help="Believe X-Forwarded-For; only behind a proxy that sets it.")
@click.option("--max-clients", type=click.IntRange(1), default=RELAY_MAX_CLIENTS, show_default=True)
@click.option("--max-per-address", type=click.IntRange(1), default=RELAY_MAX_PER_ADDRESS, show_default=True)
@click.option("--max-rooms", type=click.IntRange(1, 5000), default=RELAY_MAX_ROOMS, show_default=True)
def main(**options: object) -> None:
    """Run a relay: it passes sealed envelopes between devices, and stores and reads nothing."""
    try:
        asyncio.run(_run(_Options(**options)))  # type: ignore[arg-type] # click has checked the types
    except HandoffError as error:
        click.echo(error.sentence, err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
