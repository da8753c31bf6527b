# SPDX-License-Identifier: Apache-2.0
"""What commands print: tables for people, one JSON object per line for scripts. Layer: cli.

Results go to standard output, everything else to standard error. Specification: docs/cli.md §3.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click


def print_json(fields: Mapping[str, Any]) -> None:
    """One line on standard output, at once."""
    click.echo(json.dumps(fields, ensure_ascii=True))
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people, on standard error."""
    click.echo(shown(text), err=True)


def shown(text: str) -> str:
    """Text that may come from a peer, safe for a terminal: control and bidi characters become visible.

    So do newlines: else a name could forge a line of ours. Where several lines are meant, each is shown by itself.
    """
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns on standard output; only the header where nothing is to be listed."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(header), *cells]) for column in range(len(header))]
    for line in [list(header), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def counted(count: int, noun: str) -> str:
    """A number and its noun, which takes an s: ``1 session``, ``2 sessions``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def when(seconds: float) -> str:
    """Unix seconds as local time, for people."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
