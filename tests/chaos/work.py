# SPDX-License-Identifier: Apache-2.0
"""What a person wrote into the session: every version of every file and every line, remembered outside of the product.

A folder with a few kinds of files, and a conversation. The checker gets this as JSON and looks for it on the disks.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from blake3 import blake3

TITLE: Final = "work"
FOLDER: Final = "work"
CONVERSATION: Final = "talk.jsonl"
COOKIE: Final = ".handoff-cookie-"
_LARGE: Final = 150_000
"""Bytes of the largest file: several chunks, so that there is a middle."""


@dataclass
class Work:
    """The session's true content.

    Args:
        laptop: Directory of the laptop's files.
        desktop: That of the desktop's.
    """

    laptop: Path
    desktop: Path
    files: dict[str, list[str]] = field(default_factory=dict)
    """Path within the folder → digests of all its versions, oldest first; the last one is the current one."""
    removed: list[str] = field(default_factory=list)
    """Paths that were removed again."""
    lines: list[str] = field(default_factory=list)
    """Lines of the conversation, in order, without terminators."""
    late: list[str] = field(default_factory=list)
    """Paths that were written while a handoff ran: they may stay behind, as contributions, and are never lost."""
    late_lines: list[str] = field(default_factory=list)
    fork_files: dict[str, str] = field(default_factory=dict)
    """Path → digest of what was written in a fork while its original went on elsewhere: the two are merged."""
    fork_lines: list[str] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    """Where an undo runs: the whole states, files and lines, one of which the session must show."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote."""
        fields = json.loads(path.read_text())
        return cls(**{**fields, "laptop": Path(fields["laptop"]), "desktop": Path(fields["desktop"])})

    def as_json(self) -> dict[str, Any]:
        """What the checker gets."""
        return {**asdict(self), "laptop": str(self.laptop), "desktop": str(self.desktop)}

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.as_json()))

    def parts(self, files: Path) -> tuple[Path, Path]:
        """Where the session's parts are on a device."""
        return files / FOLDER, files / CONVERSATION

    # --- what the person does -----------------------------------------------------------------------

    def begin(self, files: Path) -> None:
        """Write the session for the first time."""
        random_bytes = random.Random(1).randbytes
        self.write(files, "notes.md", b"# Notes\n")
        self.write(files, "src/main.py", b"print('hello')\n" * 40)
        self.write(files, "src/data.bin", random_bytes(_LARGE))
        self.write(files, "src/old.txt", b"to be removed\n")
        self.write(files, "empty", b"")
        (files / FOLDER / "link").symlink_to("notes.md")
        (files / FOLDER / "src" / "main.py").chmod(0o755)
        for number in range(12):
            self.say(files, f"first message {number}")

    def go_on(self, files: Path) -> None:
        """A day of work: files change, come and go, and the conversation grows."""
        self.write(files, "notes.md", b"# Notes\nwith a second line\n")
        self.write(files, "src/data.bin", random.Random(2).randbytes(_LARGE))
        self.write(files, "plans/new.md", b"a new file\n")
        self.remove(files, "src/old.txt")
        for number in range(5):
            self.say(files, f"second message {number}")

    def go_on_in_fork(self, files: Path, *, aside: bool) -> None:
        """Work in a fork of the session: a file changes, one is new, and the conversation grows.

        Args:
            files: Of the device that has the fork.
            aside: Whether the original went on elsewhere, so that nothing of it is replaced by this.
        """
        for name, data in (("notes.md", b"# Notes\nas they are in the fork\n"), ("fork.txt", b"new in the fork\n")):
            self.write(files, name, data)
            if aside:
                self.fork_files[name] = self.files[name].pop()
                if not self.files[name]:
                    del self.files[name]
        for number in range(3):
            self.say(files, f"in the fork {number}")
            if aside:
                self.fork_lines.append(self.lines.pop())

    def come_home(self) -> None:
        """The original comes to the device that has merged its fork: there the fork's versions are edits of its own."""
        for name, digest in self.fork_files.items():
            self.files.setdefault(name, []).append(digest)
        self.fork_files = {}

    def remember_state(self, files: Path) -> None:
        """The session as it is now is a state that an undo may bring back."""
        self.states.append(self.state_on(files))

    def state_on(self, files: Path) -> dict[str, Any]:
        """What a device shows, but for what was written late."""
        root = files / FOLDER
        paths = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        names = {str(path.relative_to(root)): path for path in paths}
        hidden = (".handoff-", ".conflict-")
        digests = {
            name: blake3(path.read_bytes()).hexdigest()
            for name, path in names.items()
            if name not in self.late and not any(word in name for word in hidden)
        }
        lines = (files / CONVERSATION).read_text().splitlines()
        return {"files": digests, "lines": [line for line in lines if line not in self.late_lines]}

    def write_late(self, files: Path, name: str) -> None:
        """One more file and one more line while a handoff runs."""
        self.write(files, f"{name}.txt", f"late: {name}\n".encode())
        self.late.append(f"{name}.txt")
        self.say(files, f"late: {name}")
        self.late_lines.append(self.lines.pop())

    def write(self, files: Path, name: str, data: bytes) -> None:
        """Replace or make one file as an editor does: whole, synced, then renamed."""
        path = files / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = files / f".draft-{os.getpid()}"
        draft.write_bytes(data)
        descriptor = os.open(draft, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        draft.replace(path)
        self.files.setdefault(name, []).append(blake3(data).hexdigest())

    def remove(self, files: Path, name: str) -> None:
        """Remove a file."""
        (files / FOLDER / name).unlink()
        self.removed.append(name)

    def say(self, files: Path, text: str) -> None:
        """Append one line to the conversation."""
        line = json.dumps({"role": "user", "text": text})
        with (files / CONVERSATION).open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)
