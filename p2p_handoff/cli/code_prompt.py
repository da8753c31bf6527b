# SPDX-License-Identifier: Apache-2.0
"""Asks for a link code: words are completed while they are typed, and a slip costs no try. Layer: cli.

Specification: docs/specs/link.md §2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from p2p_handoff.cli.output import say
from p2p_handoff.errors import LinkCodeError
from p2p_handoff.security.words import WORDS, LinkCode

_DELIMITERS: Final = " -_,.\t"
_BEFORE: Final = re.compile(rf"[{re.escape(_DELIMITERS)}]+")


def ask_code() -> str:
    """The code that a person types at the terminal, asked again until it can be one.

    Raises:
        click.Abort: The person gave up.
    """
    with _completing():
        while True:
            typed = str(click.prompt("Code (Tab completes a word)", err=True))
            try:
                return LinkCode.parse(typed).text
            except LinkCodeError as error:
                say(error.sentence)


def completions(typed: str) -> list[str]:
    """The words that the last piece of what is typed may become; none while the number is typed."""
    *before, last = _BEFORE.split(typed.lstrip(_DELIMITERS).casefold())
    return [word for word in WORDS if last and word.startswith(last)] if before else []


@contextmanager
def _completing() -> Iterator[None]:
    """Tab completes words, where the terminal library can."""
    try:
        import readline  # noqa: PLC0415 - not on every system, and only at a prompt
    except ImportError:
        yield
        return
    before, delimiters = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(_completer(lambda: readline.get_line_buffer()[: readline.get_endidx()]))
    readline.set_completer_delims(_DELIMITERS)
    # macOS has libedit in its place, which is bound in its own words.
    readline.parse_and_bind("bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before)
        readline.set_completer_delims(delimiters)


def _completer(line: Callable[[], str]) -> Callable[[str, int], str | None]:
    def complete(_text: str, state: int) -> str | None:
        found = completions(line())
        return found[state] if state < len(found) else None

    return complete
