# SPDX-License-Identifier: Apache-2.0
"""All attacks, in the order of docs/attacks.md."""

from __future__ import annotations

from typing import Final

from tests.attack.attack import Attack
from tests.attack.rows import (
    bombs,
    clone,
    crdt,
    display,
    engines,
    execution,
    files,
    floods,
    identity,
    key_share,
    local,
    racer,
    relay_fields,
    relay_rooms,
    revoked,
    signaling,
)

ATTACKS: Final[tuple[Attack, ...]] = (
    *signaling.ATTACKS,
    *relay_fields.ATTACKS,
    *relay_rooms.ATTACKS,
    *engines.ATTACKS,
    *files.ATTACKS,
    *racer.ATTACKS,
    *bombs.ATTACKS,
    *crdt.ATTACKS,
    *floods.ATTACKS,
    *display.ATTACKS,
    *execution.ATTACKS,
    *identity.ATTACKS,
    *revoked.ATTACKS,
    *clone.ATTACKS,
    *key_share.ATTACKS,
    *local.ATTACKS,
)
