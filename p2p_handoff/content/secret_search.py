# SPDX-License-Identifier: Apache-2.0
"""Looks for credentials in bytes. Layer: content, pure. Specification: docs/specs/secrets.md §3.

Two passes: all patterns at once (Vectorscan, hundreds of megabytes a second, without the interpreter's lock) say which
rules may apply; only for those the rule itself decides, by RE2 in linear time. What is found depends on the bytes
and on which of the rules that are held to paths hold there: both together name a result that can be remembered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import hyperscan

from p2p_handoff.content.secret_rules import Forgiven, Rule, RuleSet, compiled
from p2p_handoff.limits import SECRET_OVERLAP, SECRET_WINDOW

_FLAGS: Final = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY

_SIZE: Final = 8
TEXT_RUN: Final = 16
"""Printable bytes in a row that noise has by chance in one of 150 chunks: a shorter one holds no key worth the name."""
_TEXT: Final = b"[\t\n\r -~]{%d}" % TEXT_RUN

Scope = frozenset[str]
"""Ids of the rules held to some paths that hold at one path."""


class Patterns:
    """All patterns of a rule set; shared by searchers. Building them takes a second or two, ``load`` a millisecond.

    Args:
        rules: The rules.
        built: Their automatons, for contents and for paths; built where they are missing.
    """

    def __init__(self, rules: RuleSet, built: tuple[Any, Any] | None = None) -> None:
        self.rules = rules
        self.of_paths = tuple(rule for rule in rules.rules if not rule.pattern)
        """Those that a path alone decides."""
        self.contents, self.paths = built or (
            _database([rule.pattern for rule in rules.rules]),
            _database([rule.path for rule in rules.rules]),
        )
        self.texts = _database([_TEXT])

    @classmethod
    def load(cls, rules: RuleSet, data: bytes) -> Patterns:
        """What ``dump`` gave, for the same rules.

        Args:
            rules: The rules.
            data: Trusted: it is as good as code.

        Raises:
            ValueError: It was made by another version of the library, or for another processor.
        """
        size = int.from_bytes(data[:_SIZE], "big")
        try:
            built = [
                hyperscan.loadb(part, hyperscan.HS_MODE_BLOCK)
                for part in (data[_SIZE : _SIZE + size], data[_SIZE + size :])
            ]
            for database in built:
                hyperscan.Scratch(database)
        except hyperscan.error as error:
            raise ValueError("these patterns cannot be used here") from error
        return cls(rules, (built[0], built[1]))

    def dump(self) -> bytes:
        """The built patterns, to be loaded again on the same machine."""
        contents = bytes(hyperscan.dumpb(self.contents))
        return len(contents).to_bytes(_SIZE, "big") + contents + bytes(hyperscan.dumpb(self.paths))

    def searcher(self) -> Searcher:
        """One searcher for one thread."""
        return Searcher(self)


class Searcher:
    """Searches bytes; one thread at a time.

    Args:
        patterns: What to look for.
    """

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self.version = patterns.rules.version
        """Of the rules."""
        self._content_scratch = hyperscan.Scratch(patterns.contents)
        self._path_scratch = hyperscan.Scratch(patterns.paths)
        self._text_scratch = hyperscan.Scratch(patterns.texts)

    def scope(self, path: bytes) -> Scope:
        """Which of the rules that are held to some paths hold at this one.

        Args:
            path: Within the part, components joined by ``/``.
        """
        return frozenset(rule.id for rule in self._candidates(self._patterns.paths, self._path_scratch, path))

    def search(self, blocks: Iterable[bytes], scope: Scope) -> frozenset[str]:
        """Ids of the rules that some content satisfies.

        Args:
            blocks: Its bytes, in order. Never much more of them than a window is held.
            scope: Of the path where it lies.
        """
        return self._patterns.rules.settled(self.hits(blocks, scope))

    def hits(self, blocks: Iterable[bytes], scope: Scope) -> frozenset[str]:
        """Ids of the rules that hold somewhere in a stretch of a content; of all stretches together ``settled`` next.

        Args:
            blocks: Its bytes, in order. Two stretches share SECRET_OVERLAP bytes, as windows do.
            scope: Of the path where it lies.
        """
        found = {rule for rule in self._patterns.of_paths if rule.id in scope}
        for window in _windows(blocks):
            for rule in self._candidates(self._patterns.contents, self._content_scratch, window):
                if (not rule.path or rule.id in scope) and rule not in found and _holds(rule, window):
                    found.add(rule)
        return frozenset(rule.id for rule in found)

    def has_text(self, data: bytes) -> bool:
        """Whether some TEXT_RUN bytes in a row are printable ASCII: a credential needs as many, whatever it lies in."""
        found: list[int] = []
        self._patterns.texts.scan(
            data, match_event_handler=lambda number, *_: found.append(number), scratch=self._text_scratch
        )
        return bool(found)

    def _candidates(self, database: Any, scratch: Any, text: bytes) -> list[Rule]:
        numbers: list[int] = []
        database.scan(text, match_event_handler=lambda number, *_: numbers.append(number), scratch=scratch)
        return [self._patterns.rules.rules[number] for number in numbers]


def _database(patterns: Sequence[bytes]) -> Any:
    """One automaton of patterns, named by their places in the sequence; empty ones are left out."""
    numbers = [number for number, pattern in enumerate(patterns) if pattern]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[patterns[number] for number in numbers], ids=numbers, flags=[_FLAGS] * len(numbers))
    return database


def _windows(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Bytes in pieces that overlap, so that a secret that lies across an edge lies whole in the next piece."""
    held: list[bytes] = []
    size = fresh = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        fresh += len(block)
        if size >= SECRET_WINDOW:
            window = b"".join(held)
            yield window
            held = [window[-SECRET_OVERLAP:]]
            size, fresh = len(held[0]), 0
    if fresh:
        yield b"".join(held)


@dataclass(frozen=True, slots=True)
class _Match:
    whole: bytes
    secret: bytes = field(repr=False)
    line: bytes

    def of(self, target: str) -> bytes:
        return {"match": self.whole, "line": self.line}.get(target, self.secret)


def _holds(rule: Rule, window: bytes) -> bool:
    """True when a rule finds a secret that is not forgiven."""
    if rule.keywords:
        text = window.lower()
        if not any(word in text for word in rule.keywords):
            return False
    return any(
        entropy(match.secret) > rule.entropy and not any(_forgives(item, match) for item in rule.forgiven)
        for match in _matches(rule, window)
    )


def _matches(rule: Rule, window: bytes) -> Iterator[_Match]:
    for match in compiled(rule.pattern).finditer(window):
        yield _Match(match.group(0), _secret(rule, match), _line(window, match.start(), match.end()))


def _secret(rule: Rule, match: Any) -> bytes:
    groups = match.groups()
    chosen = groups[rule.group - 1] if rule.group else next((group for group in groups if group), None)
    return bytes(chosen or match.group(0))


def _line(window: bytes, start: int, end: int) -> bytes:
    after = window.find(b"\n", end)
    return window[window.rfind(b"\n", 0, start) + 1 : after if after >= 0 else len(window)]


def _forgives(forgiven: Forgiven, match: _Match) -> bool:
    target = match.of(forgiven.target)
    if any(compiled(pattern).search(target) for pattern in forgiven.patterns):
        return True
    secret = match.secret.lower()
    return any(word in secret for word in forgiven.stopwords)


def entropy(data: bytes) -> float:
    """Shannon's entropy of the bytes of a value, in bits per byte, as the rules mean it."""
    counts = Counter(data).values()
    return -sum(count / len(data) * math.log2(count / len(data)) for count in counts)
