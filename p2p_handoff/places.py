# SPDX-License-Identifier: Apache-2.0
"""Where things are when nobody says otherwise. Layer: bottom. Specification: docs/specs/store.md §6."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def cache() -> Path:
    """The platform's place for what an application can build again."""
    return Path(platformdirs.user_cache_dir("p2p-handoff", appauthor=False))


def default_home() -> Path:
    """The platform's place for an application's data: the home of the agent that needs no ``--home``."""
    return Path(platformdirs.user_data_dir("p2p-handoff", appauthor=False))
