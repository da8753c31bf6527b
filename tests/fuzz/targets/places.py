# SPDX-License-Identifier: Apache-2.0
"""Targets: a peer's names, and a hostile tree that is put in place on a real file system."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import cbor2

from p2p_handoff.adapters.base import Staging, Want
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import HandoffError, LocalProtocolError
from p2p_handoff.limits import MAX_NAME_BYTES
from p2p_handoff.session.paths import check_siblings, conflict_name, printable, safe_component, safe_name
from tests.fuzz.target import BrokenPromiseError, Shape, Target, attempt, must, plan
from tests.fuzz.targets.vectors import content

_HIDDEN: Final = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
_STAMP: Final = "20261121-101500"


def _names(data: bytes) -> bool:
    text = data.decode("utf-8", "surrogateescape")
    component = attempt(safe_component, data)
    if component is not None:
        must(os.fsencode(component) == data, "a name was altered")
        must(component not in {"", ".", ".."} and "/" not in component and "\0" not in component, "a name leaves")
        copy = conflict_name(component, text, _STAMP, 1 + len(data) % 3)
        must(attempt(safe_component, os.fsencode(copy)) == copy, "the name of a conflict copy is none")
    proposal = safe_name(text, text[::-1])
    must(0 < len(os.fsencode(proposal)) <= MAX_NAME_BYTES, "a proposed name is empty or too long")
    must(not set(proposal) & set('/\\:<>"|?*\0'), "a proposed name holds a forbidden character")
    must(not proposal.startswith((".", "-", "~", " ")), "a proposed name hides, or is an option")
    must(proposal.startswith(safe_name(proposal, "x")), "a safe name is not safe")
    shown = printable(text, 80)
    must(len(shown) <= 80, "a text for people is longer than was allowed")
    must(not any(unicodedata.category(character) in _HIDDEN for character in shown), "a text moves the cursor or hides")
    siblings = data.split(b"/")[:20]
    attempt(lambda: check_siblings(siblings, case_insensitive=True, normalise_unicode=True))
    return component is not None


def _some_names() -> list[bytes]:
    texts = [
        "notes.md",
        "..",
        "a/../b",
        "CON",
        "con.txt",
        "\u202eevil",
        "caf\u00e9",
        "cafe\u0301",
        "x" * 300,
        "~root",
        "-rf",
    ]
    return [*(text.encode() for text in texts), b"\xff\xfe", b"a\0b", b"\x1b]0;x\x07", b"A/a/B", b""]


# --- the writer -----------------------------------------------------------------------------------


@cache
def ground() -> Path:
    """A directory of this process, in memory where there is such a place."""
    memory = Path("/dev/shm")
    ground = Path(tempfile.mkdtemp(prefix="handoff-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, ground, ignore_errors=True)
    return ground


_OUTSIDE: Final = b"nobody may write here"


class _Yard:
    """A place for one arrival, with things around it that must stay as they are."""

    def __init__(self) -> None:
        self.root = ground() / "yard"
        self.home = self.root / "home"
        self.destination = self.home / "project"
        self._clear()

    def _clear(self) -> None:
        """Make the place as it is before an arrival; what stands already is used again."""
        if not self.home.is_dir():
            self.home.mkdir(parents=True)
            (self.root / "outside").write_bytes(_OUTSIDE)
            (self.home / "neighbour").write_bytes(_OUTSIDE)
        for path in list(self.home.iterdir()):
            if path.name != "neighbour":
                shutil.rmtree(path)

    def check(self) -> None:
        """Nothing but the destination, the state and our own staging directory was touched."""
        must(sorted(path.name for path in self.root.iterdir()) == ["home", "outside"], "something was written outside")
        others = {path.name for path in self.home.iterdir() if not path.name.startswith(".project.handoff-")}
        must(others <= {"neighbour", "project", "state"}, "something was written beside the destination")
        for watched in (self.root / "outside", self.home / "neighbour"):
            must(watched.read_bytes() == _OUTSIDE, "something outside was changed")
            must(watched.lstat().st_nlink == 1, "something outside was linked to")
        for path in self._everything():
            status = path.lstat()
            must(not status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX), "a special mode was set")
            kind = stat.S_IFMT(status.st_mode)
            must(kind in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}, "a special file was made")

    def _everything(self) -> Iterator[Path]:
        for directory, names, files in os.walk(self.destination):
            yield from (Path(directory) / name for name in (*names, *files))


class _Offered:
    """Objects that a hostile peer serves; rows may name the digest and size of an earlier one."""

    def __init__(self, rows: list[Any]) -> None:
        self.objects: dict[Digest, bytes] = {}
        self._order: list[bytes] = []
        for row in rows[:40]:
            try:
                data = row if isinstance(row, bytes) else strict_cbor.encode(self._resolved(row))
            except LocalProtocolError:
                continue
            self.objects[digest(data)] = data
            self._order.append(data)
        self.root = self._order[-1] if self._order else b""

    def _resolved(self, node: Any) -> Any:
        match node:
            case ["ref", int(number)] if self._order:
                return digest(self._order[number % len(self._order)])
            case ["size", int(number)] if self._order:
                return len(self._order[number % len(self._order)])
            case list():
                return [self._resolved(item) for item in node]
        return node


def _written(data: bytes) -> bool:
    rows = plan(data)
    if not rows:
        return False
    offered = _Offered(rows)
    if not offered.root:
        return False
    yard = _Yard()
    try:
        return attempt(_place, yard, offered) is not None
    except (BrokenPromiseError, HandoffError):
        raise
    except Exception as error:
        raise BrokenPromiseError(f"{type(error).__name__} instead of a typed error: {error}") from error
    finally:
        yard.check()


def _place(yard: _Yard, offered: _Offered) -> bool:
    staging = FolderAdapter("here").stage_new(yard.destination, yard.home / "state", "t1")
    if not _served(staging, list(staging.begin(digest(offered.root), len(offered.root))), offered):
        staging.abandon()
        return False
    staging.seal()
    staging.commit()
    return True


def _served(staging: Staging, wants: list[Want], offered: _Offered) -> bool:
    while wants:
        want = wants.pop()
        data = offered.objects.get(want.digest)
        if data is None:
            return False
        wants += staging.put(want.digest, data)
    return staging.complete


def _hostile_trees() -> list[bytes]:
    hello = b"hello\n"
    file: list[Any] = [0, False, 5, ["ref", 0], 6, 0, 6]
    tool: list[Any] = [0, True, 5, ["ref", 0], 6, 0, 6]
    trees: list[list[Any]] = [
        [hello, ["dir/1", [[b"notes.md", *file]]]],
        [hello, ["dir/1", [[b"up", 2, b"../.."]]]],
        [hello, ["dir/1", [[b"link", 2, b"../../outside"], [b"run", *tool]]]],
        [hello, ["dir/1", [[b"x", *file]]], ["dir/1", [[b"..", 1, ["ref", 1], ["size", 1]]]]],
        [hello, ["dir/1", [[b"x", *file]]], ["dir/1", [[b"sub", 1, ["ref", 1], ["size", 1]], [b"to", 2, b"sub"]]]],
        [hello, ["dir/1", [[b".git", *file], [b".handoffignore", *file], [b"A", *file], [b"a", *file]]]],
        [hello, ["dir/1", [[b".project.handoff-t1", *file], [b"neighbour", *file], [b"project", 2, b"/"]]]],
        [bytes(16384), hello, ["idx/1", 1, [[["ref", 0], 16384, 16384], [["ref", 1], 6, 6]]],
         ["dir/1", [[b"long", 0, True, 1, ["ref", 2], 16390, 1, ["size", 2]]]]],
        [["dir/1", []]],
    ]  # fmt: skip
    return [cbor2.dumps(item) for item in [*trees, [content("directory")]]]


TARGETS = (
    Target(
        "path",
        "a name is taken exactly or refused; a proposed name is one visible component; nothing shown moves a cursor",
        _names,
        Shape.TEXT,
        _some_names,
        1024,
    ),
    Target(
        "writer",
        "nothing outside the destination is written, linked or changed; no special file or mode; typed errors only",
        _written,
        Shape.CBOR,
        _hostile_trees,
        24_576,
    ),
)
