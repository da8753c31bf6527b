# SPDX-License-Identifier: Apache-2.0
"""Breadth first through all worlds of a scope: fingerprints of those seen, shortest traces, I7 backwards.

Kept of a world is a 64-bit BLAKE2b fingerprint and who led to it. At n worlds two fall together with a probability
of n² / 2⁶⁵: three in a million for ten million worlds.
"""

from __future__ import annotations

import hashlib
import marshal
import time
from array import array
from dataclasses import dataclass, field
from typing import Final

from tests.explore import cast
from tests.explore.move import World
from tests.explore.scope import Scope
from tests.explore.world import Worlds

_WITHOUT_REFERENCES: Final = 2
"""The last format of marshal in which equal values have equal bytes."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration saw."""

    scope: str
    states: int
    transitions: int
    depth: int
    seconds: float
    violation: str | None = None
    """The invariant that was broken, or I7 for a world that is stuck."""
    trace: tuple[str, ...] = ()
    complete: bool = True
    """False where the scope's bound on states ended it."""
    pruned: int = 0
    """Steps of devices that led beyond the scope."""
    stuck: int = 0
    unpromised: int = 0
    """Worlds in which a restored home had acted among devices of which none could tell it: not followed further."""


@dataclass(slots=True)
class Graph:
    """What is kept of the worlds seen."""

    seen: dict[bytes, int] = field(default_factory=dict)
    parents: array[int] = field(default_factory=lambda: array("I"))
    ways: array[int] = field(default_factory=lambda: array("I"))
    """Which of its parent's steps led to a world."""
    good: bytearray = field(default_factory=bytearray)
    """At rest: one active primary."""
    sources: array[int] = field(default_factory=lambda: array("I"))
    """Steps that come by themselves, from worlds that are not at rest."""
    targets: array[int] = field(default_factory=lambda: array("I"))

    def add(self, key: bytes, parent: int, way: int, *, good: bool) -> int:
        number = len(self.parents)
        self.seen[key] = number
        self.parents.append(parent)
        self.ways.append(way)
        self.good.append(good)
        return number


def fingerprint(world: World) -> bytes:
    """The same for equal worlds only."""
    return hashlib.blake2b(marshal.dumps(tuple(world), _WITHOUT_REFERENCES), digest_size=8).digest()


def explore(scope: Scope, seconds: float | None = None) -> Found:
    """Look at every world of a scope.

    Args:
        scope: What people may do.
        seconds: At most so long; then ``complete`` is False.
    """
    return _Search(scope, seconds).run()


class _Search:
    def __init__(self, scope: Scope, seconds: float | None) -> None:
        cast.remember_signatures()
        self.scope = scope
        self.worlds = Worlds(scope)
        self.graph = Graph()
        self.started = time.perf_counter()
        self.until = None if seconds is None else self.started + seconds
        self.transitions = 0
        self.depth = 0
        self.unpromised = 0

    def run(self) -> Found:
        first = self.worlds.first()
        violation, good, _ = self.worlds.verdict(first)
        assert violation is None
        level = [(self.graph.add(fingerprint(first), 0, 0, good=good), first)]
        while level and not self._is_enough():
            self.depth += 1
            following: list[tuple[int, World]] = []
            for number, world in level:
                broken = self._expand(number, world, following)
                if broken is not None:
                    return self._found(violation=broken[0], trace=self.trace(number, broken[1]))
            level = following
        complete = not level
        stuck = self._stuck() if complete else []
        if stuck:
            return self._found(violation="I7", trace=self.trace(stuck[0]), stuck=len(stuck))
        return self._found(complete=complete)

    def _is_enough(self) -> bool:
        late = self.until is not None and time.perf_counter() > self.until
        return late or len(self.graph.parents) >= self.scope.most

    def _expand(self, number: int, world: World, following: list[tuple[int, World]]) -> tuple[str, int] | None:
        graph = self.graph
        waiting = not graph.good[number]
        for way, (after, progress, (_, move, _)) in enumerate(self.worlds.steps(world)):
            self.transitions += 1
            if move is not None and move.violation is not None:
                return move.violation, way
            if after == world:
                continue
            key = fingerprint(after)
            known = graph.seen.get(key)
            if known is None:
                violation, good, over = self.worlds.verdict(after)
                known = graph.add(key, number, way, good=good)
                if violation is not None:
                    return violation, way
                if over:
                    self.unpromised += 1
                else:
                    following.append((known, after))
            if waiting and progress:
                graph.sources.append(number)
                graph.targets.append(known)
        return None

    def _stuck(self) -> list[int]:
        """Worlds from which no step that comes by itself leads on to a rest: I7, backwards from the rests."""
        graph = self.graph
        count = len(graph.parents)
        starts = array("I", bytes(4 * (count + 1)))
        for target in graph.targets:
            starts[target + 1] += 1
        for index in range(count):
            starts[index + 1] += starts[index]
        fill = array("I", starts)
        before = array("I", bytes(4 * len(graph.targets)))
        for source, target in zip(graph.sources, graph.targets, strict=True):
            before[fill[target]] = source
            fill[target] += 1
        reached = bytearray(graph.good)
        todo = [index for index in range(count) if reached[index]]
        while todo:
            index = todo.pop()
            for source in before[starts[index] : starts[index + 1]]:
                if not reached[source]:
                    reached[source] = 1
                    todo.append(source)
        return [index for index in range(count) if not reached[index]]

    def trace(self, number: int, last: int | None = None) -> tuple[str, ...]:
        """Who did what, from the beginning on."""
        ways = [] if last is None else [last]
        while number:
            ways.append(self.graph.ways[number])
            number = self.graph.parents[number]
        world = self.worlds.first()
        lines = []
        for way in reversed(ways):
            after, _, (me, move, what) = next(
                step for index, step in enumerate(self.worlds.steps(world)) if index == way
            )
            happened = what if move is None else move.label
            if move is not None and what:
                happened = f"{happened}, but crashes in the middle of it"
            lines.append(f"{cast.NAMES[me]} {happened}")
            world = after
        return tuple(lines)

    def _found(
        self, *, violation: str | None = None, trace: tuple[str, ...] = (), complete: bool = True, stuck: int = 0
    ) -> Found:
        return Found(
            scope=self.scope.name,
            states=len(self.graph.parents),
            transitions=self.transitions,
            depth=self.depth,
            seconds=time.perf_counter() - self.started,
            violation=violation,
            trace=trace,
            complete=complete,
            pruned=self.worlds.pruned,
            stuck=stuck,
            unpromised=self.unpromised,
        )
