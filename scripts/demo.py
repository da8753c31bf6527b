# SPDX-License-Identifier: Apache-2.0
"""A whole handoff between two real agents on this machine, there and back. Run by ``scripts/demo``.

"laptop" and "desktop" are two processes with homes of their own. They find each other, are linked by a code, and hand
over a conversation and a copy of this checkout with an uncommitted change; then the session is edited and handed back.
What arrives is compared here by SHA-256, independently of the product.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from p2p_handoff.cli.progress import HandoffProgress
from p2p_handoff.testing.samples import conversation_lines

ROOT = Path(__file__).resolve().parent.parent
HANDOFF = Path(sys.executable).parent / "handoff"
TITLE = "fix the parser"
MESSAGES = 300
DISCOVERY_SECONDS = 6.0
_LEFT_OUT = shutil.ignore_patterns(".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")

COOKIE_PREFIX = ".handoff-cookie-"

Fields = dict[str, Any]


class DemoError(Exception):
    """Something did not work; the text says what."""


class Device:
    """One agent with a home of its own."""

    def __init__(self, name: str, base: Path) -> None:
        self.name = name
        self.home = base / f"{name}-home"
        self.files = base / name
        self.files.mkdir()
        self.home.mkdir(mode=0o700)
        (self.home / "config.toml").write_text(
            f"name = {json.dumps(name)}\nreceive_dir = {json.dumps(str(self.files))}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start the agent and wait until it answers."""
        log = (self.home / "agent.log").open("ab")
        command = [str(HANDOFF), "agent", "run", "--json", "--home", str(self.home), *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        deadline = time.monotonic() + 30
        while subprocess.run(self._argv("agent", "status"), capture_output=True, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"the agent of {self.name} did not start: {(self.home / 'agent.log').read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the agent."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def call(self, *arguments: str, stdin: str = "", on_event: Callable[[str, Fields], None] | None = None) -> Fields:
        """Run one command; returns its result."""
        for line in self.lines(*arguments, stdin=stdin):
            if "error" in line:
                raise DemoError(f"{self.name}: handoff {' '.join(arguments)}: {line['error']['message']}")
            if "event" in line and on_event is not None:
                on_event(line["event"], line)
            last = line
        return last

    def lines(self, *arguments: str, stdin: str = "") -> Iterator[Fields]:
        """Run one command; yields its lines as they come."""
        process = subprocess.Popen(
            self._argv(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(stdin.encode())
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
        finally:
            process.terminate()
            process.wait()

    def _argv(self, *arguments: str) -> list[str]:
        return [str(HANDOFF), *arguments, "--json", "--home", str(self.home)]


class Offers:
    """Listens to a device's events and keeps the last offer it was made."""

    def __init__(self, device: Device) -> None:
        self.arrived = threading.Event()
        self.offer: Fields = {}
        self._lines = device.lines("events")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._lines:
            if line.get("event") == "offer":
                self.offer = line
                self.arrived.set()


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plain", action="store_true", help="no colours, no bars")
    parser.add_argument("--engine", choices=("auto", "aiortc", "wrtc"), default="auto")
    options = parser.parse_args()
    console = Console(no_color=options.plain, highlight=False, soft_wrap=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="handoff-demo-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        try:
            Demo(console, base, stack, engine=options.engine, plain=options.plain).run()
        except DemoError as error:
            console.print(f"The demo failed: {error}", markup=False)
            return 1
        except KeyboardInterrupt:
            console.print("Stopped; nothing is left running.")
            return 7
    return 0


class Demo:
    """The story, one method a chapter."""

    def __init__(self, console: Console, base: Path, stack: ExitStack, *, engine: str, plain: bool) -> None:
        self._console = console
        self._engine = engine
        self._plain = plain
        self._laptop = Device("laptop", base)
        self._desktop = Device("desktop", base)
        for device in (self._laptop, self._desktop):
            stack.callback(device.stop)
        self._chat = self._laptop.files / "assistant.jsonl"
        self._project = self._laptop.files / "p2p-handoff"
        self._reports: list[tuple[str, Fields]] = []

    def run(self) -> None:
        """Tell it all."""
        self._prepare()
        self._meet()
        self._link()
        offers = Offers(self._desktop)
        parts = [str(self._chat), str(self._project)]
        self._laptop.call("start", *parts, "--title", TITLE)
        self._hand_over(self._laptop, self._desktop)
        self._show_offer(offers)
        self._verify("desktop has exactly what laptop has")
        self._edit()
        self._hand_over(self._desktop, self._laptop)
        self._verify("laptop has exactly what desktop has")
        self._summary()

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _chapter(self, text: str) -> None:
        self._console.print(f"\n{text}", style=None if self._plain else "bold", markup=False)

    def _prepare(self) -> None:
        self._chapter("1. A live session on laptop")
        self._chat.write_bytes(b"".join(conversation_lines(MESSAGES, seed=1)))
        shutil.copytree(ROOT, self._project, symlinks=True, ignore=_LEFT_OUT)
        with (self._project / "README.md").open("a") as readme:
            readme.write("\nAn uncommitted thought.\n")
        files = sum(1 for path in self._project.rglob("*") if path.is_file())
        self._say(f"   a conversation of {MESSAGES} messages, {self._chat.stat().st_size:,} bytes")
        self._say(f"   this checkout with an uncommitted change, {files} files")

    def _meet(self) -> None:
        self._chapter("2. Two agents find each other")
        for device in (self._laptop, self._desktop):
            device.start("--engine", self._engine)
        deadline = time.monotonic() + DISCOVERY_SECONDS
        while time.monotonic() < deadline:
            if any(peer["name"] == "desktop" for peer in self._laptop.call("peers")["peers"]):
                self._say("   laptop sees desktop by mDNS")
                return
            time.sleep(0.1)
        self._say("   multicast is blocked on this machine: going on by address")
        port = self._laptop.call("agent", "status")["port"]
        self._desktop.stop()
        self._desktop.start("--engine", self._engine, "--peer", f"127.0.0.1:{port}")
        other = self._desktop.call("agent", "status")["port"]
        self._laptop.stop()
        self._laptop.start("--engine", self._engine, "--port", str(port), "--peer", f"127.0.0.1:{other}")

    def _link(self) -> None:
        self._chapter("3. Linked once, by a code")
        opening = self._laptop.lines("link", "--own")
        code = next(opening)["code"]
        self._say(f"   laptop shows   {code}")
        joined = self._desktop.call("link", "-", stdin=code + "\n")
        opened: Fields = {}
        for opened in opening:
            if opened.get("event") == "peer":
                self._say(f"   both show      {opened['verification']}")
        if joined["name"] != "laptop" or opened.get("name") != "desktop":
            raise DemoError("the devices were not linked")
        self._say("   each is the other's own device now: no questions between them")

    def _hand_over(self, source: Device, target: Device) -> None:
        back = bool(self._reports)
        self._chapter(f"{'6' if back else '4'}. handoff to {target.name}{', only what changed' if back else ''}")
        with HandoffProgress(as_json=False) as progress:
            report = source.call(
                "to", target.name, TITLE, on_event=self._plain_line if self._plain else progress.on_event
            )
        if report["outcome"] != "done":
            raise DemoError(f"the handoff ended with {report['outcome']}: {report['text']}")
        self._reports.append((f"{source.name} → {target.name}", report))
        self._say(f"   {report['sent_bytes']:,} bytes in {report['seconds']:.2f} s, paused {report['pause_ms']:.0f} ms")

    def _plain_line(self, name: str, event: Mapping[str, Any]) -> None:
        if name == "progress":
            self._say(f"   {event['phase']}: {event['bytes']:,} of {event['bytes'] + event['remaining']:,} bytes")

    def _show_offer(self, offers: Offers) -> None:
        if not offers.arrived.wait(5):
            raise DemoError("desktop was not shown an offer")
        self._say("   the offer as desktop saw it:")
        for part in offers.offer["parts"]:
            self._say(f"     {part['type']:<9} {part['name']:<16} {part['items']:>5} items {part['bytes']:>12,} bytes")

    def _verify(self, claim: str) -> None:
        there = self._desktop.files
        pairs = ((self._chat, there / self._chat.name), (self._project, there / self._project.name))
        for ours, theirs in pairs:
            left, right = fingerprint(ours), fingerprint(theirs)
            if left != right:
                raise DemoError(f"{ours.name} differs: {left} here, {right} there")
            self._say(f"   sha256 {left[:16]}…  equal on both: {ours.name}")
        self._say(f"   {claim}")

    def _edit(self) -> None:
        self._chapter("5. Work goes on on desktop")
        with (self._desktop.files / self._chat.name).open("ab") as chat:
            chat.write(b'{"role": "user", "text": "and now from the desktop"}\n')
        note = self._desktop.files / self._project.name / "NOTES.md"
        note.write_text("Written on desktop.\n")
        self._say(f"   one more message, one more file ({note.name})")

    def _summary(self) -> None:
        table = Table(title=None, box=None if self._plain else Table().box)
        for column in ("handoff", "bytes sent", "seconds", "pause ms", "engine", "path"):
            table.add_column(column, justify="left" if column in ("handoff", "engine", "path") else "right")
        for name, report in self._reports:
            row = (f"{report['sent_bytes']:,}", f"{report['seconds']:.2f}", f"{report['pause_ms']:.0f}")
            table.add_row(name, *row, report["engine"], report["path"])
        self._console.print()
        self._console.print(table)


def fingerprint(path: Path) -> str:
    """SHA-256 over a file, or over a tree: names, kinds, execute bits, link targets and bytes."""
    digest = hashlib.sha256()
    entries = [path] if path.is_file() else sorted(path.rglob("*"))
    # An agent that follows a folder puts a short-lived file into it to see its own watcher at work.
    entries = [entry for entry in entries if not entry.name.startswith(COOKIE_PREFIX)]
    for entry in entries:
        status = entry.lstat()
        kind = "link" if entry.is_symlink() else "dir" if entry.is_dir() else "file"
        executable = kind == "file" and bool(status.st_mode & 0o100)
        name = os.fsencode(entry.relative_to(path.parent))
        digest.update(b"%d %s %s %d\n" % (len(name), name, kind.encode(), executable))
        if kind == "link":
            digest.update(os.fsencode(entry.readlink()))
        elif kind == "file":
            digest.update(hashlib.sha256(entry.read_bytes()).digest())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
