# SPDX-License-Identifier: Apache-2.0
"""agent.network: an agent listens at one port of IPv4 and IPv6."""

from __future__ import annotations

import socket

import pytest
from aiohttp import web

from p2p_handoff.agent.network import Sockets
from p2p_handoff.errors import UsageError
from signaling.policy import SharedPolicy
from signaling.relay import Relay


async def test_regression_a_free_port_that_is_taken_in_the_last_moment_is_not_insisted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop = web.TCPSite.stop
    taken = socket.socket()

    async def stop_and_lose(site: web.TCPSite) -> None:
        """Somebody else listens at the number as soon as it is let go, once."""
        await stop(site)
        if taken.getsockname()[1] == 0:
            taken.bind(("0.0.0.0", site.port))
            taken.listen()

    monkeypatch.setattr(web.TCPSite, "stop", stop_and_lose)
    with taken:
        listening = await Sockets().listen(Relay(SharedPolicy()), 0)
        assert listening.port not in (0, taken.getsockname()[1])
        await listening.close()


async def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    first = await Sockets().listen(Relay(SharedPolicy()), 0)
    with pytest.raises(UsageError, match=f"port {first.port} .* cannot be used"):
        await Sockets().listen(Relay(SharedPolicy()), first.port)
    await first.close()
