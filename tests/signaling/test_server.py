# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from aiohttp import web

from p2p_handoff.errors import UsageError
from signaling.server import serve


async def test_a_free_port_is_found_and_told() -> None:
    async with serve(web.Application(), ["127.0.0.1", "::1"]) as addresses:
        assert [host for host, _ in addresses] == ["127.0.0.1", "::1"]
        assert all(port > 0 for _, port in addresses)


async def test_a_taken_port_is_one_clear_sentence() -> None:
    async with serve(web.Application(), ["127.0.0.1"]) as addresses:
        port = addresses[0][1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is taken"):
            async with serve(web.Application(), ["127.0.0.1"], port):
                pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_a_foreign_host_is_a_usage_error(host: str) -> None:
    with pytest.raises(UsageError, match=host):
        async with serve(web.Application(), [host]):
            pass
