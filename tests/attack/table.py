# SPDX-License-Identifier: Apache-2.0
"""All attacks, in the order of docs/attacks.md."""

from __future__ import annotations

from typing import Final

from tests.attack.attack import Attack
from tests.attack.rows import bombs, display, engines, execution, local

ATTACKS: Final[tuple[Attack, ...]] = (
    *engines.ATTACKS,
    *bombs.ATTACKS,
    *display.ATTACKS,
    *execution.ATTACKS,
    *local.ATTACKS,
)
