# SPDX-License-Identifier: Apache-2.0
"""A linked device that sends trees: names, links and types that would reach beyond the folder they arrive in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.compression import Encoding
from p2p_handoff.content.digests import digest
from p2p_handoff.ids import SessionId
from tests.agent.devices import fill, tree
from tests.attack.attack import Attack, Seen, hold
from tests.attack.canary import Canary
from tests.attack.offers import Lie, served
from tests.attack.scene import scene

_WHO: Final = "linked device"
_NAMES: Final = 10_000
_X: Final = digest(b"x")


def _file(name: bytes) -> list[object]:
    return [name, 0, False, 0, _X, 1, 0, 1]


def _link(name: bytes, target: Path | bytes) -> list[object]:
    return [name, 2, os.fsencode(target)]


def _tree(*rows: list[object]) -> bytes:
    return strict_cbor.encode(["dir/1", list(rows)])


def hostile_trees(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Directory objects that no honest device sends, by what is wrong."""
    outside = os.fsencode(canary)
    for name in (
        b"",
        b".",
        b"..",
        b"../up",
        b"/etc/x",
        b"a/b",
        outside + b"/x",
        b"../../canary/d0/x",
        b"nul\0",
        b"n" * 256,
    ):
        yield f"the name {name[:20]!r}", _tree(_file(name))
    yield "two files of one name", _tree(_file(b"a"), _file(b"a"))
    yield "a link and a file of one name", _tree(_link(b"a", canary), _file(b"a"))
    inner = _tree(_file(b"secret"))
    yield "a link and a directory of one name", _tree(_link(b"a", canary / "d0"), [b"a", 1, digest(inner), len(inner)])
    yield "names out of order", _tree(_file(b"b"), _file(b"a"))
    yield "a device", _tree([b"dev", 3, b"c 1 3"])
    yield "a fifo", _tree([b"fifo", 4, b""])
    yield "a setuid bit", _tree([b"suid", 0, 0o4755, 0, _X, 1, 0, 1])
    yield "an owner", _tree([b"owned", 0, False, 0, _X, 1, 0, 1, 0, 0])
    yield "a link without a target", _tree(_link(b"l", b""))
    yield "a file of 2^60 bytes", _tree([b"huge", 0, False, 0, bytes(32), 2**60, 2, 100])
    yield "itself, without end", _tree([b"again", 1, bytes(32), 50])


async def trees(root: Path) -> Seen:
    """Every hostile tree is offered, accepted and served; links to the outside arrive as links, never followed."""
    async with scene(root) as stage:
        canary = Canary(root)
        cases = list(hostile_trees(canary.path))
        taken = []
        for name, data in cases:
            lie = Lie(digest(data), len(data), Encoding.RAW.value, data, {_X: b"x"})
            if await served(stage, lie) == "ready":
                taken.append(name)
            canary.check()
        hold(not taken, f"taken: {taken}")
        folder = fill(root / "intruder" / "links", {"a": b"1"})
        (folder / "out").symlink_to(canary.path)
        (folder / "up").symlink_to("../../../canary/d0")
        (folder / "etc").symlink_to("/etc/passwd")
        os.mkfifo(folder / "fifo")
        (folder / "a").chmod(0o6777)
        report = await stage.intruder.to("victim", folder)
        hold(report.outcome == "done", f"links did not arrive: {report.text}")
        arrived = Path((await stage.victim.session(report.title))["paths"][0])
        await _settled(arrived, {"a", "out", "up", "etc"})
        hold((arrived / "a").stat().st_mode & 0o7000 == 0, "a setuid bit arrived")
        hold(not (arrived / "fifo").exists(), "a fifo arrived")
        await stage.intruder.take(SessionId(report.session), peer="victim")
        canary.check()
        await stage.check_untouched()
    return Seen(f"{len(cases)} trees refused; links arrived as links, no setuid, no fifo; nothing outside touched")


async def _settled(folder: Path, names: set[str]) -> None:
    async with asyncio.timeout(20):
        while not folder.exists() or not names <= set(os.listdir(folder)):
            await asyncio.sleep(0.02)


_WORDS: Final = (
    "CON/nul.txt/COM1/aux.c/~/-rf/--help/$(id)/`id`/%2e%2e/..%2f/.../. / /a:b/C:/.git/.GIT/git~1/.handoff-cookie-1"
    "/.project.handoff-x/*/?/|/</'/\"/;/&/.conflict-x/{path}/lost+found"
)
_ALIKE: Final = ("\xe9", "e\u0301", "\uff21\uff22", "\ufb00", "\xdf", "SS", "\u0130", "\u0131", "\u212a")
"""What some systems take for the same name as another one."""


def generated_names(seed: int = 7) -> Iterator[bytes]:
    """Names that a file system here takes, and that mean something to programs, people or other systems."""
    chance = random.Random(seed)
    hidden = ["\u202egpj", "\ufeff", "\u200b", "\n", "\x1b[31m", "\x7f"]
    words = [*_WORDS.split("/"), *_ALIKE, "\\\\host\\share", "a\\..\\b", *hidden]
    raw = [os.fsencode(word) for word in words] + [b"\xff\xfe", b"\xc3\x28", b"\x80"]
    seen = set[bytes]()
    while len(seen) < _NAMES:
        name = b"".join(chance.choice(raw) for _ in range(chance.randint(1, 4)))[:200] + b"%d" % chance.randint(0, 9)
        if name not in seen and b"/" not in name and b"\0" not in name:
            seen.add(name)
            yield name


def _handed_over(folder: Path) -> set[str]:
    return {path for path in tree(folder) if not _is_ours(Path(path).name)}


def _is_ours(name: str) -> bool:
    """Names of what the agent itself puts beside and into folders, which it does not hand over (adapters.md §3)."""
    return name.startswith(".") and ".handoff-" in name


async def names(root: Path) -> Seen:
    """Ten thousand generated names arrive in one folder; each is there, under its own name."""
    async with scene(root) as stage:
        canary = Canary(root)
        folder = root / "intruder" / "names"
        folder.mkdir()
        for name in generated_names():
            place = os.path.join(os.fsencode(folder), name[-1:])  # noqa: PTH118 - names that are no text
            os.makedirs(place, exist_ok=True)  # noqa: PTH103 - as above
            with contextlib.suppress(OSError):
                descriptor = os.open(os.path.join(place, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)  # noqa: PTH118
                os.close(descriptor)
        report = await asyncio.wait_for(stage.intruder.to("victim", folder), 90)
        canary.check()
        arrived = Path((await stage.victim.session(report.title))["paths"][0]) if report.outcome == "done" else None
        if arrived is not None:
            async with asyncio.timeout(30):
                while not arrived.exists():
                    await asyncio.sleep(0.05)
        there = set[str]() if arrived is None else _handed_over(arrived)
        here = _handed_over(folder)
        await stage.check_untouched()
        strays = list((root / "victim" / "received").iterdir())
        canary.check()
    hold(report.outcome == "done", f"the names were refused: {report.text}")
    hold(there == here, f"{len(here)} names were sent, and not the same arrived: {sorted(there ^ here)[:6]}")
    hold(len(strays) == 1, f"beside the folder stands {strays}")
    forms = {unicodedata.normalize("NFD", name.casefold()) for name in here}
    alike = f"{len(here) - len(forms)} of them alike but for case or form"
    return Seen(f"{len(here)} names ({alike}): all in the folder, 0 outside")


ATTACKS: Final = (
    Attack(
        "files-trees",
        _WHO,
        "sends trees with traversal, absolute names, links, twins, devices, setuid, endless depth",
        "refused by a typed error, or harmless; nothing outside of the destination touched",
        trees,
    ),
    Attack(
        "files-names",
        _WHO,
        f"sends a folder of {_NAMES} generated names: reserved, alike, invisible, no text",
        "each arrives as it is, inside; nothing outside touched",
        names,
    ),
)
