# SPDX-License-Identifier: Apache-2.0
"""What lies outside of one agent: network, wall clock, randomness, watched files, the disk. Layer: agent.

The defaults are the real things. ``p2p_handoff.testing`` gives an agent simulated ones, and developers may give it
their own. Specification: docs/architecture.md §2.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from p2p_handoff.adapters.watcher import Watch, watch
from p2p_handoff.agent.network import Network, Sockets
from p2p_handoff.ids import DeviceId, Entropy
from p2p_handoff.store import home as homes
from p2p_handoff.store.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Outside:
    """What an agent works with and does not own.

    Args:
        network: Reaches other devices.
        clock: Unix seconds. For people and for the order of what they see; ownership never depends on it.
        entropy: Source of randomness for ids, nonces and codes.
        watch: Watches files and folders for changes.
        lock: Holds a home for one agent.
        open_store: Opens the database of a home.
    """

    network: Network = field(default_factory=Sockets)
    clock: Callable[[], float] = time.time
    entropy: Entropy = os.urandom
    watch: Watch = watch
    lock: Callable[[homes.Home], AbstractContextManager[None]] = homes.lock
    open_store: Callable[[Path, DeviceId], Store] = open_store
