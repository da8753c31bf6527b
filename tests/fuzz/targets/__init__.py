# SPDX-License-Identifier: Apache-2.0
"""Every fuzz target."""

from __future__ import annotations

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    circle,
    connection,
    content,
    document,
    local,
    messages,
    network,
    places,
    relay,
    secrets,
    trust,
)

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for module in (messages, connection, content, places, document, relay, trust, circle, network, secrets, local)
    for target in module.TARGETS
}
