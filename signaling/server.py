# SPDX-License-Identifier: Apache-2.0
"""Listens for an application, and says clearly why it cannot. Layer: signaling, aiohttp.

Specification: docs/specs/signaling.md §2.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from p2p_handoff.errors import UsageError

_SHUTDOWN_SECONDS: Final = 2.0
"""What clients get to take the goodbye in."""

_REASONS: Final = {
    errno.EADDRINUSE: "is taken by another program",
    errno.EACCES: "needs more rights than this program has",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}


def _listen_error(host: str | None, port: int, error: OSError) -> UsageError:
    reason = _REASONS.get(error.errno or 0, f"cannot be listened on ({error.strerror or error})")
    return UsageError(f"port {port} on {host or 'this machine'} {reason}", advice="choose another host or port")


async def _start(runner: web.AppRunner, hosts: Sequence[str | None], port: int, tls: ssl.SSLContext | None) -> None:
    for host in hosts:
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except OSError as error:
            raise _listen_error(host, port, error) from error


@asynccontextmanager
async def serve(
    app: web.Application, hosts: Sequence[str] = (), port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[tuple[str, int]]]:
    """Serve an application while the context lasts.

    Args:
        app: What to serve.
        hosts: Addresses or names of this machine to listen on; none means all of its addresses.
        port: TCP port, 0 for a free one.
        tls: Certificate and key, for wss.

    Yields:
        The address and port of every listening socket.

    Raises:
        UsageError: The port is taken, not allowed, or the host is not of this machine.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await _start(runner, hosts or (None,), port, tls)
        yield [(address[0], address[1]) for address in runner.addresses]
    finally:
        await runner.cleanup()
