# SPDX-License-Identifier: Apache-2.0
"""Every key of ``config.toml``, as one tree: what it takes, and whether a running agent takes it over. Layer: I/O ring.

Specification: docs/configuration.md. A new setting is a row here, a field of ``Settings`` and a row of the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from p2p_handoff.settings import checks, words
from p2p_handoff.settings.checks import Check
from p2p_handoff.settings.toml_lines import KeyPath

KINDS: Final = ("folder", "conversation")
"""Kinds of parts: one adapter each."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key with a value."""

    check: Check
    live: bool = True
    """A running agent takes it over without a restart."""
    many: bool = False
    """A list: on the command line its items may be written with commas."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A table."""

    children: Mapping[str, Leaf | Branch] = field(default_factory=dict)
    others: Leaf | Branch | None = None
    """What any other name stands for; None where only the listed ones may be."""

    def child(self, name: str) -> Leaf | Branch | None:
        """What a name in this table stands for."""
        return self.children.get(name, self.others)


Node = Leaf | Branch


def _rule(take: Check = checks.verdict) -> dict[str, Leaf]:
    return {
        "push": Leaf(checks.verdict),
        "take": Leaf(take),
        "may_leave": Leaf(checks.part_types, many=True),
        "into": Leaf(checks.path),
    }


def _who(take: Check = checks.verdict) -> Branch:
    return Branch({**_rule(take), **{kind: Branch(_rule(take)) for kind in KINDS}})


ROOT: Final = Branch(
    {
        "name": Leaf(checks.display_name),
        "handoff": Leaf(checks.boolean),
        "engine": Leaf(checks.one_of(*words.ENGINES), live=False),
        "keys": Leaf(checks.one_of(*words.KEYS), live=False),
        "receive_dir": Leaf(checks.path),
        "mdns": Leaf(checks.boolean, live=False),
        "visible": Leaf(checks.one_of(*words.VISIBLE)),
        "relays": Leaf(checks.urls("ws", "wss"), live=False, many=True),
        "peers": Leaf(checks.texts, live=False, many=True),
        "stun": Leaf(checks.urls("stun", "stuns"), live=False, many=True),
        "turn": Branch(
            {
                "servers": Leaf(checks.urls("turn", "turns"), live=False, many=True),
                "user": Leaf(checks.text, live=False),
                "credential_file": Leaf(checks.path, live=False),
            }
        ),
        "port": Leaf(checks.port, live=False),
        "max_pause": Leaf(checks.seconds),
        "keep_generations": Leaf(checks.count),
        "resume": Branch({kind: Leaf(checks.texts, many=True) for kind in KINDS}),
        "policy": Branch({"own": _who(), "other": _who(checks.verdict_for_all)}),
        "device": Branch(others=_who()),
    }
)


def find(path: KeyPath) -> Node | None:
    """What a path stands for; None for an unknown one."""
    node: Node | None = ROOT
    for name in path:
        if not isinstance(node, Branch):
            return None
        node = node.child(name)
    return node


def neighbours(path: KeyPath) -> list[str]:
    """The names that could stand in the place of a path's first unknown one."""
    node: Node = ROOT
    for name in path:
        further = node.child(name) if isinstance(node, Branch) else None
        if further is None:
            break
        node = further
    return list(node.children) if isinstance(node, Branch) else []


def is_live(name: str) -> bool:
    """Whether a running agent takes over a setting of the top level."""
    return all(node.live for node in _leaf_nodes(ROOT.children[name]))


def _leaf_nodes(node: Node) -> Iterator[Leaf]:
    if isinstance(node, Leaf):
        yield node
        return
    for child in (*node.children.values(), *((node.others,) if node.others else ())):
        yield from _leaf_nodes(child)


def leaves(branch: Branch = ROOT, above: KeyPath = ()) -> Iterator[KeyPath]:
    """All keys that are there without a name of the user's choice, but for those of kinds."""
    for name, node in branch.children.items():
        if isinstance(node, Leaf):
            yield (*above, name)
        elif name not in KINDS:
            yield from leaves(node, (*above, name))
