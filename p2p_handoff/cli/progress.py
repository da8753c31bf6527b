# SPDX-License-Identifier: Apache-2.0
"""The progress of one handoff: a bar on a terminal, events with ``--json``, nothing in a pipe. Layer: cli."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from p2p_handoff.cli.headway import pace, phase, reused
from p2p_handoff.cli.output import print_json, say
from p2p_handoff.cli.secrets_shown import lines

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_Fields = Mapping[str, Any]


def _peer(fields: _Fields) -> Iterator[str]:
    yield f"{fields['name']} answers. Both devices must show the same words: {fields['verification']}"


def _offered(fields: _Fields) -> Iterator[str]:
    if fields["asks"]:
        yield f"Offered to {fields['name']}; waiting for a yes there. Ctrl-C takes it back."


def _asking(fields: _Fields) -> Iterator[str]:
    yield f"{fields['name']} asks the person there. Ctrl-C gives up."


def _secrets(fields: _Fields) -> Iterator[str]:
    yield from lines(fields["secrets"])
    if any(item["withheld"] for item in fields["secrets"]):
        yield f"What is withheld stays where it is. To send it to {fields['name']}: --include-secret PATH"


def _readable(fields: _Fields) -> Iterator[str]:
    yield f"{fields['name']} can be read already, while the rest arrives: {fields['preview']}"


def _text(fields: _Fields) -> Iterator[str]:
    yield str(fields["text"])


_TOLD: Final[Mapping[str, Callable[[_Fields], Iterator[str]]]] = {
    "peer": _peer,
    "offered": _offered,
    "asking": _asking,
    "secrets": _secrets,
    "readable": _readable,
    "not-in-place": _text,
    "silent": _text,
    "link-disturbed": _text,
}
"""What is said of an event."""


class HandoffProgress:
    """Shows the events of one command. Use as a context manager; ``on_event`` goes to the client.

    Args:
        as_json: Print events as lines on standard output.
        code_hint: What to run on the other device; ``{code}`` is filled in.
    """

    def __init__(self, *, as_json: bool, code_hint: str = "") -> None:
        self._as_json = as_json
        self._code_hint = code_hint
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Take one event."""
        if self._as_json:
            print_json({"event": name, **fields})
        elif name == "code":
            self._show_code(fields)
        elif name == "progress":
            if sys.stderr.isatty():
                self._advance(fields)
        elif name in _TOLD:
            for line in _TOLD[name](fields):
                say(line)

    def _show_code(self, fields: Mapping[str, Any]) -> None:
        if sys.stderr.isatty():
            from p2p_handoff.cli.qr import qr_code  # noqa: PLC0415 - the words of codes, only where one is shown

            click.echo(qr_code(str(fields["code"])), err=True, nl=False)
        say(f"Code: {fields['code']}   (one try, ten minutes)")
        say(f"On the other device run:  {self._code_hint.format(code=fields['code'])}")

    def _advance(self, fields: Mapping[str, Any]) -> None:
        if self._bar is None:
            self._bar = _new_bar()
            self._task = self._bar.add_task("copying", total=None, rate="", left="", reused="")
            self._bar.start()
        assert self._task is not None
        done, missing = int(fields["bytes"]), int(fields["remaining"])
        rate, left = pace(fields)
        self._bar.update(
            self._task,
            completed=done,
            total=done + missing,
            description=phase(fields),
            rate=rate,
            left=left,
            reused=reused(fields),
            refresh=True,
        )


def _new_bar() -> Progress:
    from rich.console import Console  # noqa: PLC0415 - only on a terminal, only when bytes move
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415 - as above

    rate = TextColumn("{task.fields[rate]}")
    left = TextColumn("{task.fields[left]}")
    there = TextColumn("{task.fields[reused]}")
    columns = (TextColumn("{task.description:<16}"), BarColumn(), DownloadColumn(), there, rate, left)
    return Progress(*columns, console=Console(stderr=True))
