# SPDX-License-Identifier: Apache-2.0
"""Folders to hand over, and their comparison by means that share nothing with the product: diff, sha256sum, stat."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Final

from p2p_handoff.adapters.watcher import COOKIE_PREFIX

KIB: Final = 1024
MIB: Final = 1024 * KIB
COMPARE_DEADLINE: Final = 300.0
COOKIE_PATIENCE: Final = 10.0
_OLD: Final = 1_234_567_890_123_456_789
"""A modification time with nanoseconds that no fresh file has."""


def project(folder: Path) -> Path:
    """A working copy with everything that is easily lost: a repository with uncommitted work, an executable bit, a
    symbolic link, an empty directory, names beyond ASCII, an old time.
    """
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "code.py").write_text("print('committed')\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    (folder / "code.py").write_text("print('committed')\nprint('not yet')\n")
    (folder / "build.sh").write_text("#!/bin/sh\n")
    (folder / "build.sh").chmod(0o755)
    (folder / "dangling").symlink_to("../nowhere/at all")
    (folder / "latest").symlink_to("code.py")
    (folder / "empty" / "within").mkdir(parents=True)
    (folder / "Überraschung").mkdir()
    (folder / "Überraschung" / "日本語 🦊.txt").write_text("名前\n")
    (folder / "nothing").touch()
    os.utime(folder / "build.sh", ns=(_OLD, _OLD))
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git in a folder with a fixed author; returns its output. What only reads does not refresh the index."""
    author = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    argv = ["git", "--no-optional-locks", "-C", str(folder), "-c", "safe.directory=*", *author, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


def conversation(path: Path, lines: int = 200) -> Path:
    """A conversation of so many lines."""
    texts = (json.dumps({"role": "user", "number": number, "text": "Grüße " * 20}) for number in range(lines))
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def random_file(path: Path, size: int, seed: int = 1) -> Path:
    """A file that neither compresses nor repeats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def mixed(folder: Path, *, small: int = 600, large: int = 8 * MIB) -> Path:
    """Many small files of different sizes in several directories, and a large one."""
    numbers = random.Random(7)
    for number in range(small):
        path = folder / f"directory {number % 23}" / f"{number}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(numbers.randbytes(numbers.randrange(12 * KIB)))
    random_file(folder / "large.bin", large)
    return folder


def python_library(folder: Path, files: int, size: int = 0, most: int | None = None) -> Path:
    """Copies of the Python installation's own library (without what was installed into it), side by side.

    Each copy has other bytes than the others (of the same entropy): equal copies would travel only once.

    Args:
        folder: Where to.
        files: At least so many files and links.
        size: At least so many bytes.
        most: Most bytes of one file; longer ones are cut. None leaves them whole.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    copies = have_files = have_bytes = 0
    while have_files < files or have_bytes < size:
        table = bytes((value + copies) % 256 for value in range(256))
        more_files, more_bytes = _copy(library, folder / f"copy {copies}", table, most)
        copies, have_files, have_bytes = copies + 1, have_files + more_files, have_bytes + more_bytes
    return folder


def _copy(source: Path, target: Path, table: bytes, most: int | None) -> tuple[int, int]:
    """Copy a tree, every byte replaced by means of a table; returns the numbers of files and bytes."""
    files = size = 0
    target.mkdir(parents=True)
    for entry in os.scandir(source):
        place = target / entry.name
        if entry.name == "site-packages":
            continue
        if entry.is_dir(follow_symlinks=False):
            more_files, more_bytes = _copy(Path(entry.path), place, table, most)
            files, size = files + more_files, size + more_bytes
            continue
        files += 1
        if entry.is_symlink():
            place.symlink_to(Path(entry.path).readlink())
        elif entry.is_file():
            size += place.write_bytes(Path(entry.path).read_bytes()[:most].translate(table))
            shutil.copystat(entry.path, place)
    return files, size


def assert_same(left: Path, right: Path) -> None:
    """Fail unless two folders have the same entries, bytes, link targets, executable bits and times of files."""
    wait_for_cookies(left, right)
    argv = ["diff", "--recursive", "--no-dereference", "--brief", str(left), str(right)]
    found = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=COMPARE_DEADLINE)
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert checksums(left) == checksums(right)
    one, other = facts(left), facts(right)
    differing = {name: (one.get(name), other.get(name)) for name in one.keys() | other.keys()}
    differing = {name: pair for name, pair in differing.items() if pair[0] != pair[1]}
    assert not differing, f"differing in kind, execute bit, time or target: {differing}"


def wait_for_cookies(*folders: Path) -> None:
    """A watcher that starts or is drained shows a cookie file for a moment: it must be gone soon."""
    deadline = time.monotonic() + COOKIE_PATIENCE
    while cookies := [path for folder in folders for path in folder.glob(f"**/{COOKIE_PREFIX}*")]:
        assert time.monotonic() < deadline, f"left behind: {cookies}"
        time.sleep(0.01)


def checksums(folder: Path) -> str:
    """What sha256sum says of all regular files, sorted by name."""
    script = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum"
    return subprocess.run(
        ["sh", "-c", script], cwd=folder, check=True, capture_output=True, text=True, timeout=COMPARE_DEADLINE
    ).stdout


def facts(folder: Path) -> dict[str, tuple[object, ...]]:
    """What stat says of every entry: kind, owner's execute bit and time of files, target of links."""
    return {str(path.relative_to(folder)): _facts(path) for path in sorted(folder.rglob("*"))}


def _facts(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ("link", str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return ("directory",)
    return ("file", bool(status.st_mode & stat.S_IXUSR), status.st_mtime_ns)
