# SPDX-License-Identifier: Apache-2.0
"""From the text of ``config.toml`` to checked values, or to every mistake in it with its line. Layer: I/O ring, pure.

Specification: docs/configuration.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from p2p_handoff.errors import UsageError
from p2p_handoff.settings.checks import did_you_mean
from p2p_handoff.settings.keys import ROOT, Branch, Leaf, Node, neighbours
from p2p_handoff.settings.toml_lines import KeyPath, Place, key_places, key_text

_SYNTAX_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
_AT_THE_END: Final = " (at end of document)"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that the user has to mend."""

    place: Place
    what: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says."""

    values: Mapping[KeyPath, Any] = field(default_factory=dict)
    """As the program uses them; only what the file has."""
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()

    def place(self, path: KeyPath) -> Place:
        """Where a key stands, or what it is in."""
        return next((self.places[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.places), _TOP)


_TOP: Final = Place(1, 1)


def read(text: str) -> Document:
    """Everything that a text says, right and wrong."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number may have too many digits
        return Document(mistakes=(_syntax(text, str(error)),))
    bare = Document(places=key_places(text))
    values: dict[KeyPath, Any] = {}
    mistakes: list[Mistake] = []
    for path, found in _walk(table, ROOT, ()):
        if isinstance(found, Exception):
            mistakes.append(Mistake(bare.place(path), f"{key_text(path)}: {found}"))
        else:
            values[path] = found
    mistakes.sort(key=lambda mistake: (mistake.place.line, mistake.place.column))
    return Document(values, bare.places, tuple(mistakes))


def complaint(path: Path, mistakes: tuple[Mistake, ...]) -> UsageError:
    """The error that a file with mistakes is; editors understand its beginning."""
    first = mistakes[0]
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return UsageError(
        f"{path}:{first.place.line}:{first.place.column}: {first.what}{more}",
        advice="'handoff config edit' opens the file",
    )


def unknown(path: KeyPath) -> ValueError:
    """Why a path is no setting."""
    known = neighbours(path)
    guess = did_you_mean(path[-1], known)
    return ValueError(
        f"unknown setting{guess}" if guess or not known else f"unknown setting; known are {', '.join(known)}"
    )


def _walk(value: Any, node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(node, Leaf):
        yield path, _checked(node, value)
    elif not isinstance(value, dict):
        yield path, TypeError("must be a table")
    else:
        yield from _walk_table(value, node, path)


def _walk_table(table: Mapping[str, Any], branch: Branch, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for name, value in table.items():
        child = branch.child(name)
        below = (*path, name)
        if child is None:
            yield below, unknown(below)
        else:
            yield from _walk(value, child, below)


def _checked(leaf: Leaf, value: Any) -> Any:
    try:
        return leaf.check(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: ~ of a user that there is not
        return error


def _syntax(text: str, message: str) -> Mistake:
    match = _SYNTAX_PLACE.search(message)
    lines = text.rstrip("\n").split("\n")
    place = Place(len(lines), len(lines[-1]) + 1) if message.endswith(_AT_THE_END) else _TOP
    if match:
        place = Place(int(match[1]), int(match[2]))
    said = _SYNTAX_PLACE.sub("", message).removesuffix(_AT_THE_END)
    return Mistake(place, f"not valid TOML: {said[:1].lower()}{said[1:]}")
