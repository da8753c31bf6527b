# SPDX-License-Identifier: Apache-2.0
"""All attacks, in the order of docs/attacks.md."""

from __future__ import annotations

from typing import Final

from tests.attack.attack import Attack
from tests.attack.rows import bombs

ATTACKS: Final[tuple[Attack, ...]] = (*bombs.ATTACKS,)
