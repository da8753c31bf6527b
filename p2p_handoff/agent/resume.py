# SPDX-License-Identifier: Apache-2.0
"""What runs when a session has arrived: an argv template from this device's own configuration. Layer: agent.

Nothing received is ever executed: ``{path}`` is the only thing filled in, as one argument, and there is no shell.
Specification: docs/configuration.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")


async def run(templates: Mapping[str, Sequence[str]], kind: str, path: Path) -> str:
    """Start the command configured for a kind, detached.

    Args:
        templates: Per kind an argv, ``{path}`` standing for the path.
        kind: The adapter's name of the part that arrived.
        path: Where it is on this device.

    Returns:
        What was started, or why nothing was, for people.
    """
    template = templates.get(kind)
    if not template:
        return ""
    argv = [word.replace("{path}", str(path)) for word in template]
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            cwd=path.parent,
            start_new_session=True,
        )
    except OSError as error:
        return f"{template[0]} could not be started ({error.strerror})"
    return f"started {template[0]} (process {process.pid})"
