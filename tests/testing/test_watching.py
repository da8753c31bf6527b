# SPDX-License-Identifier: Apache-2.0
"""Watchers hear of what lies in their directory, until they are stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

from p2p_handoff.testing.loop import Process, SimulatedLoop
from p2p_handoff.testing.watching import SimulatedWatches


def test_a_watcher_hears_of_relevant_files_in_its_directory_until_it_is_stopped(tmp_path: Path) -> None:
    loop = SimulatedLoop()
    heard: list[str] = []

    async def story() -> None:
        watches = SimulatedWatches(loop, Process(loop, "laptop"))
        watches(tmp_path, lambda: heard.append("flat"), lambda path: path.endswith(".txt"), recursive=False)
        deep = watches(tmp_path, lambda: heard.append("deep"), lambda path: path.endswith(".txt"))
        for name in ("a.txt", "b.log", "sub/c.txt", "../outside.txt"):
            watches.touched((tmp_path / name).resolve())
        await asyncio.sleep(1)
        assert deep.drain()
        deep.stop()
        deep.stop()
        watches.touched(tmp_path / "sub" / "d.txt")
        await asyncio.sleep(1)

    loop.run_until_complete(story())
    loop.close()
    assert heard == ["flat", "deep", "deep"]
