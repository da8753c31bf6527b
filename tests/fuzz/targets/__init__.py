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
    patching,
    places,
    relay,
    secrets,
    trust,
)

_MODULES: Final = (
    messages, connection, content, patching, places, document, relay, trust, circle, network, secrets, local,
)  # fmt: skip
TARGETS: Final[dict[str, Target]] = {target.name: target for module in _MODULES for target in module.TARGETS}
