# SPDX-License-Identifier: Apache-2.0
"""A real server on a real socket, and the blocking client in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.control.client import Client
from p2p_handoff.control.request import Handler
from p2p_handoff.control.server import ControlServer

Serve = Callable[..., Awaitable[ControlServer]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the control socket is to be."""
    tmp_path.chmod(0o700)
    return tmp_path / "agent.sock"


@pytest.fixture
async def serve(path: Path) -> AsyncIterator[Serve]:
    """Starts a server with handlers by name."""
    servers: list[ControlServer] = []

    async def start(handlers: Mapping[str, Handler], **options: Any) -> ControlServer:
        server = ControlServer(path, handlers, **options)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def call(path: Path) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Runs ``Client.call`` beside the event loop."""

    async def run(command: str, args: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        return await asyncio.to_thread(Client(path).call, command, args, **options)

    return run
