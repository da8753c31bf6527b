# SPDX-License-Identifier: Apache-2.0
"""Counters in the Prometheus text format 0.0.4. Layer: signaling. Specification: docs/specs/signaling.md §10.

Counts only: no device, room, nameplate or address ever appears.
"""

from __future__ import annotations

from collections.abc import Iterator

from signaling.hub import Hub
from signaling.messages import Farewell, Refusal


def render(hub: Hub, *, connections: int) -> str:
    """The page that ``/metrics`` serves.

    Args:
        hub: Whose counters.
        connections: WebSockets open now, logged in or not.
    """
    return "\n".join(_lines(hub, connections)) + "\n"


def _lines(hub: Hub, connections: int) -> Iterator[str]:
    yield f"handoff_relay_connections {connections}"
    yield f"handoff_relay_clients {hub.switchboard.client_count}"
    yield f"handoff_relay_rooms {hub.switchboard.room_count}"
    for name in ("connections", "envelopes", "room_messages"):
        yield f"handoff_relay_{name}_total {hub.counters[name]}"
    for refusal in Refusal:
        yield f'handoff_relay_refused_total{{reason="{refusal.value}"}} {hub.counters[f"refused/{refusal.value}"]}'
    for farewell in Farewell:
        count = hub.counters[f"farewells/{farewell.value}"]
        yield f'handoff_relay_farewells_total{{reason="{farewell.value}"}} {count}'
