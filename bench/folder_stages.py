# SPDX-License-Identifier: Apache-2.0
"""What each stage of a folder's handoff costs on the disk and the processor, without a network. Layer: bench.

``python -m bench.folder_stages``: pictures a folder cold, unchanged and changed, reads everything as a source does
and stages, seals and commits it as a target does. Prints wall and processor seconds per stage: on a machine that is
busy otherwise, only the latter compare.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.machine import facts
from p2p_handoff.adapters.base import Snapshot, Staging, Want
from p2p_handoff.adapters.folder import FolderAdapter, OpenFolder
from p2p_handoff.content.compression import Packer
from p2p_handoff.content.digests import Digest
from p2p_handoff.limits import MIB
from tests.network.trees import python_library

_T = TypeVar("_T")
_BATCH = 512


@dataclass(slots=True)
class Stages:
    """Seconds that passed, and seconds of all threads in the kernel and outside, by step."""

    wall: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)

    def run(self, name: str, work: Callable[[], _T]) -> _T:
        """Measure one step; a name that comes again adds up."""
        wall, processor = time.perf_counter(), _processor()
        done = work()
        self.wall[name] = self.wall.get(name, 0) + time.perf_counter() - wall
        self.processor[name] = self.processor.get(name, 0) + _processor() - processor
        return done

    def table(self) -> Iterator[str]:
        """A line per step."""
        for name in self.wall:
            yield f"{name:28} {self.wall[name]:8.2f} s {self.processor[name]:8.2f} s of processor"


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.folder_stages", description=__doc__)
    parser.add_argument("--files", type=int, default=40_000, help="files of the tree (default 40000)")
    parser.add_argument("--bytes", type=int, default=800_000_000, help="its bytes (default 800 MB)")
    parser.add_argument("--tree", type=Path, help="this folder instead; one file in a hundred is appended to")
    parser.add_argument("--random-mib", type=int, default=0, help="one file of random bytes instead of a tree")
    options = parser.parse_args()
    stages = Stages()
    with tempfile.TemporaryDirectory(prefix="handoff-bench-") as name:
        place = Path(name)
        tree = options.tree or _made(place / "tree", options)
        picture = _pictures(stages, place, tree)
        _arrive(stages, picture, FolderAdapter("bench").stage_new(place / "there", place / "state there", "first"), "")
        _edit(tree, 100)
        changed = stages.run("picture, 1% changed", _open(place, tree).snapshot)
        there = FolderAdapter("bench").open(place / "there", place / "state there")
        _arrive(stages, changed, there.stage("second"), " 1%")
    print(*stages.table(), sep="\n", file=sys.stderr)
    print(json.dumps({"machine": facts(Path(__file__).parents[1]), **asdict(stages)}))


def _made(tree: Path, options: argparse.Namespace) -> Path:
    if options.random_mib:
        tree.mkdir()
        with (tree / "random").open("wb") as file:
            for _ in range(options.random_mib):
                file.write(os.urandom(MIB))
    else:
        python_library(tree, options.files, options.bytes)
    time.sleep(0.1)  # Nothing of it is racy any more.
    return tree


def _open(place: Path, tree: Path) -> OpenFolder:
    return FolderAdapter("bench").open(tree, place / "state")


def _pictures(stages: Stages, place: Path, tree: Path) -> Snapshot:
    part = _open(place, tree)
    stages.run("picture, nothing known", part.snapshot)
    stages.run("picture, nothing changed", part.snapshot)
    part = _open(place, tree)
    stages.run("picture, after a restart", part.snapshot)
    return stages.run("freeze", part.freeze)


def _edit(tree: Path, every: int) -> None:
    files = [path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()]
    for path in files[::every]:
        with path.open("ab") as file:
            file.write(b"one more line\n")
    time.sleep(0.1)  # As above: statuses are old enough to be trusted.


def _arrive(stages: Stages, picture: Snapshot, staging: Staging, label: str) -> None:
    """What happens at both ends between the first Want and the end, but for the encryption and the link."""
    queue = deque(stages.run(f"begin{label}", lambda: staging.begin(picture.root, picture.root_size)))
    while queue:
        names = [queue.popleft().digest for _ in range(min(_BATCH, len(queue)))]
        objects = stages.run(f"read{label}", partial(_read, picture, names))
        stages.run(f"compress{label}", partial(_compress, objects))
        queue.extend(stages.run(f"put{label}", partial(_put, staging, names, objects)))
    stages.run(f"seal{label}", staging.seal)
    stages.run(f"commit{label}", staging.commit)


def _read(picture: Snapshot, names: list[Digest]) -> list[bytes]:
    return [picture.read(name) for name in names]


def _compress(objects: list[bytes]) -> int:
    packer = Packer()
    return sum(len(packer.pack(data)[1]) for data in objects)


def _put(staging: Staging, names: list[Digest], objects: list[bytes]) -> list[Want]:
    return [want for pair in zip(names, objects, strict=True) for want in staging.put(*pair)]


if __name__ == "__main__":
    main()
