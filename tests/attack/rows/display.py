# SPDX-License-Identifier: Apache-2.0
"""What a linked device chooses of what is shown: names, titles, reasons. None of it moves, hides or forges anything."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Final

from p2p_handoff.content.digests import Digest
from p2p_handoff.ids import PartId, new_session_id, new_txn_id
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import Manifest, Part, PartType, encode_manifest
from tests.attack.attack import Attack, Seen, hold
from tests.attack.scene import Scene, scene

_HANDOFF: Final = Path(sys.executable).parent / "handoff"
_FORGED: Final = "FORGED-LINE"
CORPUS: Final[dict[str, str]] = {
    "a colour": "\x1b[31mred\x1b[0m",
    "a window title": "\x1b]0;owned\x07",
    "the clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "a hyperlink": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "erasing": "\x1b[2J\x1b[1;1H",
    "an 8-bit escape": "\x9b31m\x9d0;x\x9c",
    "backspaces": "good\b\b\b\bevil",
    "a carriage return": f"ok\r{_FORGED}",
    "a new line": f"ok\n{_FORGED} Accept? [y/N] y",
    "line separators": f"ok\u2028{_FORGED}\u2029{_FORGED}\x85{_FORGED}\x0b{_FORGED}\x0c{_FORGED}",
    "right to left": "invoice\u202egpj.exe\u2066\u2067\u2068\u2069\u202a\u202b\u202d\u061c\u200f\u200e",
    "nothing visible": "lap\u200btop\u200c\u200d\u2060\ufeff\u00ad\u180e",
    "tags": "".join(chr(0xE0000 + ord(letter)) for letter in "evil"),
    "HTML": "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "rich markup": "[bold red]x[/] [link=http://evil]y[/link]",
    "formats": "%s%n {0.__class__} ${HOME} $(id) `id`",
    "NUL and DEL": "a\x00b\x7fc",
}
"""What a peer may put where words are shown, by name."""
TEXT: Final = " ".join(CORPUS.values())


def forbidden(output: str) -> set[str]:
    """What in the output of a command would not be seen for what it is."""
    lines = {f"the line {line[:40]!r}" for line in output.split("\n") if line.lstrip(" │|").startswith(_FORGED)}
    marks = {
        f"U+{ord(char):04X} {unicodedata.name(char, '')}"
        for char in output
        if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"}
    }
    return lines | marks


def _run(stage: Scene, *words: str) -> str:
    done = subprocess.run(
        [str(_HANDOFF), *words],
        env={**os.environ, "HANDOFF_HOME": str(stage.victim.home), "XDG_RUNTIME_DIR": "", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        timeout=40,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


async def _offer(stage: Scene, text: str) -> None:
    """An offer whose title and parts are named so, and a session of that title that this device has."""
    speaker = await stage.speaker()
    session = new_session_id(os.urandom)
    names = [text[:120], *list(CORPUS.values())[:40]]
    parts = tuple(
        Part(PartId(f"p{number}"), PartType.FILES, "folder", name, Digest(bytes(32)), 7, 100, 3)
        for number, name in enumerate(names, 1)
    )
    manifest = encode_manifest(Manifest(session, text[:200], parts))
    txn = new_txn_id(os.urandom)
    await speaker.message(
        msg.Init(txn, session, stage.intruder.device, stage.device, msg.Mode.COPY, 0, b"", take=False)
    )
    await speaker.message(msg.Request(txn, manifest, tuple(part.id for part in parts), 600))
    async with asyncio.timeout(20):
        while not (await stage.victim.call("requests"))["requests"]:
            await asyncio.sleep(0.02)


async def _answer_with(stage: Scene, text: str) -> None:
    """From now on whatever is asked of the intruder is refused with these words."""
    contacts = stage.intruder.parts.contacts
    honest = contacts.message_received

    def received(wire: object, message: msg.Message) -> None:
        if isinstance(message, msg.Init | msg.Take):
            wire.send(msg.Reject(message.txn, msg.RejectReason.DECLINED, text[:500]))  # type: ignore[attr-defined]
        else:
            honest(wire, message)  # type: ignore[arg-type]

    contacts.message_received = received  # type: ignore[method-assign]  # refuses in words of its own


async def terminal(root: Path) -> Seen:
    """Every command that shows a peer's words is run, for people and for programs."""
    found: dict[str, set[str]] = {}
    async with scene(root, kind=LinkKind.OTHER, name=TEXT[:200]) as stage:
        await _offer(stage, TEXT[:200])
        offers = stage.intruder.parts.dialer._offers
        hello = offers._d.hello
        offers._d = replace(
            offers._d, hello=lambda device: replace(hello(device), name=TEXT[:200], software=TEXT[:200])
        )
        await _answer_with(stage, TEXT)
        device = stage.intruder.device[:12]
        commands = [
            ("peers",),
            ("requests",),
            ("sessions",),
            ("agent", "status"),
            ("history", "private"),
            ("to", device, "private"),
            ("take", "nothing-of-the-kind", "--from", device),
            ("reject",),
            ("unlink", device),
            ("whoami",),
        ]
        for words in commands:
            for form in ((), ("--json",)):
                if words[0] in {"reject", "unlink"} and form:
                    continue
                output = await asyncio.to_thread(_run, stage, *words, *form)
                if bad := forbidden(output):
                    found[" ".join((*words, *form))] = bad
                if form:
                    for line in output.splitlines():
                        json.loads(line)
        await stage.victim.check_sound()
        if bad := forbidden(stage.victim.words()):
            found["the log"] = bad
    hold(not found, "; ".join(f"handoff {where}: {', '.join(sorted(what))}" for where, what in found.items()))
    return Seen(
        f"{len(commands)} commands and the log, {len(CORPUS)} kinds of text in names, titles, parts, reasons: "
        "0 got through"
    )


ATTACKS: Final = (
    Attack(
        "display",
        "linked device",
        "names itself, its sessions, their parts and its reasons with escapes, bidi, newlines, HTML",
        "no control, invisible or reordering character, and no forged line, in any output or the log",
        terminal,
    ),
)
