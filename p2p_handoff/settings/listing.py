# SPDX-License-Identifier: Apache-2.0
"""All settings that hold, with where each comes from: what ``handoff config`` shows. Layer: I/O ring, pure.

Specification: docs/cli.md §8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.policy import DEFAULTS
from p2p_handoff.settings.config import Settings, default_name
from p2p_handoff.settings.keys import ROOT, is_live, leaves
from p2p_handoff.settings.reading import Document
from p2p_handoff.settings.toml_lines import KeyPath, key_text

_PARENTS: Final = {LinkKind.OWN: ("policy", "own"), LinkKind.OTHER: ("policy", "other")}


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting."""

    key: str
    value: Any
    """JSON-ready."""
    line: int | None
    """In the file; None for a default."""
    needs_restart: bool
    """A running agent does not take a change over."""

    def as_json(self) -> dict[str, Any]:
        """The stable keys of ``handoff config``."""
        source = "default" if self.line is None else "file"
        return {
            "key": self.key,
            "value": self.value,
            "source": source,
            "line": self.line,
            "needs_restart": self.needs_restart,
        }


def listed(document: Document, under: KeyPath = ()) -> list[Shown]:
    """Every setting with a value, those of the file and the defaults of the others.

    Args:
        document: A file without mistakes.
        under: Only this key, or the keys in this table.
    """
    values = document.values
    defaults = _defaults(values)
    paths = [*leaves(), *(path for path in values if path not in defaults)]
    return [
        Shown(
            key_text(path),
            plain(values[path] if path in values else defaults[path]),
            document.place(path).line if path in values else None,
            not is_live(path[0]),
        )
        for path in sorted(paths, key=_rank)
        if path[: len(under)] == under and (path in values or path in defaults)
    ]


def _rank(path: KeyPath) -> int:
    """Settings come in the order of the document."""
    return list(ROOT.children).index(path[0])


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, frozenset):
        return [kind.value for kind in PartType if kind in value]
    return list(value) if isinstance(value, tuple) else value


def _defaults(values: Mapping[KeyPath, Any]) -> dict[KeyPath, Any]:
    settings = Settings(name=default_name())
    top: dict[KeyPath, Any] = {path: getattr(settings, path[0]) for path in leaves() if len(path) == 1}
    turn: dict[KeyPath, Any] = {("turn", "servers"): settings.turn.servers, ("turn", "user"): settings.turn.user}
    return {**top, **turn, **dict(_policy_defaults(values.get(("receive_dir",), settings.receive_dir)))}


def _policy_defaults(receive_dir: Path) -> Iterator[tuple[KeyPath, Any]]:
    for kind, parent in _PARENTS.items():
        rule = DEFAULTS[kind]
        yield (*parent, "push"), rule.push
        yield (*parent, "take"), rule.take
        yield (*parent, "may_leave"), rule.may_leave
        yield (*parent, "into"), receive_dir
