# SPDX-License-Identifier: Apache-2.0
"""The rules by which credentials are recognised. Layer: content, pure. Specification: docs/specs/secrets.md §2.

The rules are gitleaks' own (MIT), unchanged, and a short list of ours in the same format: both are data, read once
from the package itself. A rule has a pattern, words of which one must be there, a least entropy, values that are
forgiven, and a path that it is held to.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import re2

from p2p_handoff.content.digests import digest

_FILES: Final = ("gitleaks.toml", "more_secrets.toml")
_REVISION: Final = b"1"
"""Of what this program makes of the rules: another one voids what was found before."""


@dataclass(frozen=True, slots=True)
class Forgiven:
    """Values that look like a secret and are none."""

    patterns: tuple[bytes, ...] = ()
    stopwords: tuple[bytes, ...] = ()
    """Lower case; a value that contains one is forgiven."""
    target: str = "secret"
    """What the patterns are looked for in: the ``secret``, the whole ``match``, or its ``line``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret."""

    id: str
    """What people are told: ``github-pat``, ``private-key``."""
    pattern: bytes = b""
    """In RE2's syntax; empty for a rule about paths alone."""
    path: bytes = b""
    """Pattern of the paths that it is held to; empty for all."""
    keywords: tuple[bytes, ...] = ()
    """Lower case; one must occur."""
    entropy: float = 0.0
    """Bits per byte that the secret must exceed."""
    group: int = 0
    """The group of the pattern that is the secret; 0 for the first that took part."""
    forgiven: tuple[Forgiven, ...] = ()
    yields: bool = False
    """Says nothing where another rule has found something."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules, and what names them."""

    rules: tuple[Rule, ...]
    version: bytes
    """Changes with every change of the rules."""

    def settled(self, hits: frozenset[str]) -> frozenset[str]:
        """What is told of the rules that hold in one content: some yield to others.

        Args:
            hits: Their ids.
        """
        sure = hits - {rule.id for rule in self.rules if rule.yields}
        return sure or hits


@cache
def shipped() -> RuleSet:
    """The rules of this version."""
    package = files("p2p_handoff.content")
    texts = [package.joinpath(name).read_text("utf-8") for name in _FILES]
    return parse(texts)


def parse(texts: list[str]) -> RuleSet:
    """Rules in gitleaks' format.

    Args:
        texts: TOML documents. Each one's allowlist holds for its own rules; a ``narrowed`` one holds for all.

    Raises:
        ValueError: One of them is malformed.
    """
    documents = [tomllib.loads(text) for text in texts]
    narrowed = {item["id"]: item for document in documents for item in document.get("narrowed", ())}
    rules = tuple(
        _rule(fields, _forgiven(document.get("allowlist", {})), narrowed)
        for document in documents
        for fields in document["rules"]
    )
    version = digest(b"\0".join([_REVISION, *(text.encode() for text in texts)]))[:16]
    return RuleSet(rules, version)


def _rule(fields: Mapping[str, Any], everywhere: Forgiven, narrowed: Mapping[str, Any]) -> Rule:
    fields = {**fields, **narrowed.get(fields["id"], {})}
    own = (_forgiven(item) for item in fields.get("allowlists", ()) if "paths" not in item)
    return Rule(
        id=fields["id"],
        pattern=fields.get("regex", "").encode(),
        path=fields.get("path", "").encode(),
        keywords=tuple(word.lower().encode() for word in fields.get("keywords", ())),
        entropy=float(fields.get("entropy", 0)),
        group=fields.get("secretGroup", 0),
        forgiven=(everywhere, *own),
        yields=fields.get("yields", False),
    )


def _forgiven(fields: Mapping[str, Any]) -> Forgiven:
    """An allowlist without its paths: what is forgiven in one folder would leave from another."""
    return Forgiven(
        tuple(pattern.encode() for pattern in fields.get("regexes", ())),
        tuple(word.lower().encode() for word in fields.get("stopwords", ())),
        fields.get("regexTarget", "secret"),
    )


@cache
def compiled(pattern: bytes) -> Any:
    """A pattern, ready to be looked for. RE2 takes linear time, whatever it reads."""
    return re2.compile(pattern)
