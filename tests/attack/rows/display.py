# SPDX-License-Identifier: Apache-2.0
"""What a linked device chooses of what is shown: names, titles, reasons. None of it moves, hides or forges anything."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from p2p_handoff.content.digests import Digest
from p2p_handoff.ids import PartId, new_session_id, new_txn_id
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.link_terms import LinkKind, LinkResult
from p2p_handoff.session.manifest import Manifest, Part, PartType, Secret, encode_manifest
from tests.agent.devices import fill
from tests.agent.secrets_made import private_key
from tests.attack.attack import Attack, Seen, hold
from tests.attack.offers import copy_of
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


def _environment(stage: Scene) -> dict[str, str]:
    return {**os.environ, "HANDOFF_HOME": str(stage.victim.home), "XDG_RUNTIME_DIR": "", "PYTHONIOENCODING": "utf-8"}


def _run(stage: Scene, *words: str, typed: str = "") -> str:
    done = subprocess.run(
        [str(_HANDOFF), *words],
        env=_environment(stage),
        capture_output=True,
        timeout=60,
        input=typed.encode(),
        check=False,
    )
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


def _secret(text: str) -> Secret:
    """A place where a secret lies, in the words of the peer."""
    return Secret(text.replace("\0", "").encode()[:200], "private-key")


async def _offer(stage: Scene, text: str) -> None:
    """An offer whose title and parts are named so, and a session of that title that this device has."""
    speaker = await stage.speaker()
    session = new_session_id(os.urandom)
    names = [text[:120], *list(CORPUS.values())[:40]]
    parts = tuple(
        Part(
            PartId(f"p{number}"), PartType.FILES, "folder", name, Digest(bytes(32)), 7, 100, 3, secrets=(_secret(name),)
        )
        for number, name in enumerate(names, 1)
    )
    manifest = encode_manifest(Manifest(session, text[:200], parts))
    txn = new_txn_id(os.urandom)
    await speaker.message(
        msg.Init(txn, session, stage.intruder.device, stage.device, msg.Mode.COPY, 0, b"", take=False)
    )
    await speaker.message(msg.Request(txn, manifest, tuple(part.id for part in parts), 600))
    await _request(stage)


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


class Outputs:
    """Looks through what is shown."""

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}
        self.seen = 0

    def look(self, where: str, output: str) -> None:
        """Note what should not be there."""
        self.seen += 1
        if bad := forbidden(output):
            self.found[where] = bad
        if "--json" in where:
            broken = [line for line in output.split("\n") if line and not line.startswith("{")]
            hold(not broken, f"{where} printed what is no JSON: {broken[:1]!r}")
            for line in filter(None, output.split("\n")):
                json.loads(line)

    async def run(self, stage: Scene, *words: str, typed: str = "") -> str:
        """Run a command and look."""
        output = await asyncio.to_thread(_run, stage, *words, typed=typed)
        self.look("handoff " + " ".join(words), output)
        return output


@asynccontextmanager
async def _watched(stage: Scene, outputs: Outputs, *words: str) -> AsyncIterator[None]:
    """A command that shows what happens until it is interrupted."""
    process = await asyncio.create_subprocess_exec(
        str(_HANDOFF), *words, env=_environment(stage), stdout=PIPE, stderr=STDOUT, stdin=DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        outputs.look("handoff " + " ".join(words), output.decode("utf-8", "surrogateescape"))


def _hostile_files(folder: Path) -> Path:
    """A folder whose files are named so, one of them with a key in it."""
    names = [text.replace("/", "_").replace("\0", "")[:60] for text in CORPUS.values()]
    fill(folder, dict.fromkeys(names, b"content"))
    (folder / (names[8] + names[0] + ".pem")).write_bytes(private_key())
    return folder


async def _arrivals(stage: Scene, outputs: Outputs) -> None:
    """A session, its folder and its files are named so; it is accepted, handed on, and taken off the list."""
    folder = _hostile_files(stage.root / "intruder" / CORPUS["a colour"] / CORPUS["right to left"])
    session = await stage.intruder.start([folder], title=TEXT[:200])
    offering = asyncio.create_task(stage.intruder.to("victim", session.id))
    await _request(stage)
    await outputs.run(stage, "requests")
    await outputs.run(stage, "requests", "--json")
    await outputs.run(stage, "accept")
    report = await offering
    hold(report.outcome == "done", f"the folder did not arrive: {report.text}")

    def accept(fields: Mapping[str, Any]) -> None:
        stage.intruder.accept(fields["token"])

    cancel = stage.intruder.on("request", accept)
    for words in (("history", session.id), ("to", stage.intruder.device[:12], session.id), ("undo", session.id)):
        await outputs.run(stage, *words)
        await outputs.run(stage, *words, "--json")
    cancel()


async def _cancelled(stage: Scene, outputs: Outputs) -> None:
    """A request is accepted, and then called off in words of the peer's."""
    speaker = await stage.speaker()
    init, request = copy_of(stage)
    await speaker.message(init)
    await speaker.message(request)
    await _request(stage)
    accepting = asyncio.create_task(outputs.run(stage, "accept"))
    with stage.listening() as heard:
        async with asyncio.timeout(20):
            while not isinstance(await heard.get(), msg.Accept):
                continue
        await speaker.message(msg.Cancel(init.txn, msg.RejectReason.FAILED, TEXT[:500]))
        await accepting


async def _link(stage: Scene, outputs: Outputs) -> None:
    """A device with such a name is linked, on both commands."""
    port = (await stage.victim.call("status"))["port"]
    linker = await stage.devices.start("linker", display=TEXT[:200], peers=(f"127.0.0.1:{port}",))

    async def decide(_result: LinkResult) -> LinkKind:
        return LinkKind.OTHER

    process = await asyncio.create_subprocess_exec(
        str(_HANDOFF), "link", "--other", env=_environment(stage), stdout=PIPE, stderr=STDOUT, stdin=DEVNULL
    )
    assert process.stdout is not None
    output = ""
    async with asyncio.timeout(40):
        while not (code := re.search(r"\b\d+-[a-z]+-[a-z]+\b", output)):
            output += (await process.stdout.read(4096)).decode("utf-8", "surrogateescape")
        await linker.link(code.group(), decide=decide)
        output += (await process.communicate())[0].decode("utf-8", "surrogateescape")
    outputs.look("handoff link", output)
    hold(process.returncode == 0, f"the devices were not linked: {output[-300:]!r}")


async def _request(stage: Scene) -> None:
    async with asyncio.timeout(20):
        while not (await stage.victim.call("requests"))["requests"]:
            await asyncio.sleep(0.02)


async def terminal(root: Path) -> Seen:
    """Every command that shows a peer's words is run, for people and for programs, while others watch."""
    outputs = Outputs()
    async with scene(root, kind=LinkKind.OTHER, name=TEXT[:200], foreground=True) as stage:
        async with _watched(stage, outputs, "events"), _watched(stage, outputs, "events", "--json"):
            await _arrivals(stage, outputs)
            await _cancelled(stage, outputs)
            await _link(stage, outputs)
            await _offer(stage, TEXT[:200])
            offers = stage.intruder.parts.dialer._offers
            hello = offers._d.hello
            offers._d = replace(
                offers._d, hello=lambda device: replace(hello(device), name=TEXT[:200], software=TEXT[:200])
            )
            await _answer_with(stage, TEXT)
            await _commands(stage, outputs)
        await stage.victim.check_sound()
        outputs.look("what the agent shows in its terminal, and its log", stage.victim.words())
    hold(not outputs.found, "; ".join(f"{where}: {', '.join(sorted(bad))}" for where, bad in outputs.found.items()))
    return Seen(
        f"{outputs.seen} outputs of commands, of what watches, of the terminal of the agent, {len(CORPUS)} kinds of "
        "text in names of devices, sessions, parts, folders and files, and in reasons: 0 got through"
    )


async def _commands(stage: Scene, outputs: Outputs) -> None:
    device = stage.intruder.device[:12]
    commands = [
        ("peers",),
        ("requests",),
        ("sessions",),
        ("agent", "status"),
        ("history", "private"),
        ("to", device, "private"),
        ("take", "nothing-of-the-kind", "--from", device),
        ("recover",),
        ("reject",),
        ("unlink", device),
        ("whoami",),
    ]
    for words in commands:
        await outputs.run(stage, *words)
        if words[0] not in {"reject", "unlink"}:
            await outputs.run(stage, *words, "--json")


ATTACKS: Final = (
    Attack(
        "display",
        "linked device",
        "names itself, its sessions, parts, folders, files and reasons with escapes, bidi, newlines, HTML",
        "no control, invisible or reordering character, and no forged line, in any output or the log",
        terminal,
    ),
)
