# SPDX-License-Identifier: Apache-2.0
"""Where the keys of a TOML document stand: neither tomllib nor tomlkit tells. Layer: I/O ring, pure.

Specification: docs/configuration.md. The document is valid already, so that only the ends of its statements have to be
found; what a statement's key means is left to tomllib.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

KeyPath = tuple[str, ...]

_TOKEN: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # a text of several lines may end in two quotes of its own
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[^\s\"'#\[\]{}=]+"
    r"|.",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class _Statement:
    offset: int
    header: bool
    key: str
    """The text before the equals sign, or the whole header."""


def key_places(text: str) -> Mapping[KeyPath, Place]:
    """Where each key and table of a document stands first; keys inside of an inline table are not listed.

    Args:
        text: Valid TOML.
    """
    found: dict[KeyPath, Place] = {}
    table: KeyPath = ()
    for statement in _statements(text):
        place = _place(text, statement.offset)
        if statement.header:
            table = path = _path(statement.key)
        else:
            path = (*table, *_path(f"{statement.key}=0"))
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], place)
    return found


def parse_key(text: str) -> KeyPath:
    """A dotted key as TOML writes it: ``device."my phone".push``.

    Raises:
        ValueError: It is none.
    """
    statement = next(_statements(f"{text}=0"), None)
    if statement is None or statement.header or statement.key != text:
        raise ValueError("not a key")
    try:
        return _path(f"{text}=0")
    except tomllib.TOMLDecodeError as error:
        raise ValueError("not a key") from error


def key_text(path: KeyPath) -> str:
    """A path as a dotted key, quoted where TOML wants it."""
    return ".".join(name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name) for name in path)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    visible = "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)
    return f'"{visible}"'


def _statements(text: str) -> Iterator[_Statement]:
    words: list[str] = []
    start = depth = 0
    for match in _TOKEN.finditer(f"{text}\n"):
        word = match.group()
        if word == "\n" and depth == 0:
            yield from _statement(start, words)
            words = []
        elif words or not (word.isspace() or word.startswith("#")):
            start = start if words else match.start()
            depth += (word in ("[", "{")) - (word in ("]", "}"))
            words.append(word)


def _statement(offset: int, parts: list[str]) -> Iterator[_Statement]:
    if not parts:
        return
    header = parts[0] == "["
    words = [part for part in parts if not part.startswith("#")]
    end = len(words) if header or "=" not in words else words.index("=")
    yield _Statement(offset, header, "".join(words[:end]))


def _path(statement: str) -> KeyPath:
    """The path that a statement without a value makes."""
    names: list[str] = []
    inside: Any = tomllib.loads(statement)
    while isinstance(inside, dict | list) and inside:
        if isinstance(inside, list):
            inside = inside[0]
            continue
        [(name, inside)] = inside.items()
        names.append(name)
    return tuple(names)


def _place(text: str, offset: int) -> Place:
    before = text[:offset]
    return Place(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)
