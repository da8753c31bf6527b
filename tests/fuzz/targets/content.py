# SPDX-License-Identifier: Apache-2.0
"""Targets: manifests, ownership statements and chains, and trees of hostile objects."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import cbor2

from p2p_handoff.adapters.conversation_root import decode_root
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import (
    Content,
    decode_directory,
    decode_index,
    encode_directory,
    encode_index,
)
from p2p_handoff.content.objects import chunks_of as _chunks_of
from p2p_handoff.content.trees import diff, walk
from p2p_handoff.errors import LocalProtocolError, NotFoundError
from p2p_handoff.limits import MAX_PARTS, MAX_TREE_DEPTH
from p2p_handoff.session import chain as chains
from p2p_handoff.session.manifest import decode_manifest, encode_manifest
from p2p_handoff.session.signed import decode_signed, encode_signed
from p2p_handoff.session.statement_codec import decode_statement, encode_statement
from tests.fuzz.target import BrokenPromiseError, Shape, Target, attempt, must, plan
from tests.fuzz.targets.vectors import content, strings, vector

_MOST: Final = 100
"""Entries of a walk that are looked at: a tree that names one child twice, nested, has no end in sight."""


def _manifest(data: bytes) -> bool:
    manifest = attempt(decode_manifest, data)
    if manifest is None:
        return False
    try:
        must(encode_manifest(manifest) == data, "two spellings of one manifest")
    except LocalProtocolError as error:
        raise BrokenPromiseError(f"what was decoded cannot be encoded: {error.what}") from error
    must(len({part.id for part in manifest.parts}) == len(manifest.parts) <= MAX_PARTS, "parts beyond their bounds")
    return True


def _ownership(data: bytes) -> bool:
    statement = attempt(decode_statement, data)
    must(statement is None or encode_statement(statement) == data, "two spellings of one statement")
    signed = attempt(decode_signed, data)
    must(signed is None or encode_signed(signed) == data, "two spellings of one signed statement")
    chain = attempt(chains.decode_chain, data)
    if chain is None:
        return statement is not None or signed is not None
    must(chains.encode_chain(chain) == data, "two spellings of one chain")
    state = attempt(chains.verify_chain, chain)
    if state is not None:
        must(2 * len(state.accepted) + 1 == len(chain), "a chain's handoffs are not its statements")
        must(data in _CHAINS, "a chain verifies that its devices did not sign")
    return True


def _golden_chains() -> list[bytes]:
    """The chains of the golden vectors, and what each begins with."""
    found = [data for data in strings(vector("ownership")) if _verifies(data)]
    whole = [chains.decode_chain(data) for data in found]
    return [chains.encode_chain(chain[:length]) for chain in whole for length in range(1, len(chain) + 1, 2)]


def _verifies(data: bytes) -> bool:
    chain = attempt(chains.decode_chain, data)
    return chain is not None and attempt(chains.verify_chain, chain) is not None


_CHAINS: Final = frozenset(_golden_chains())


class _Store:
    """Objects built from a plan; ``["ref", n]`` in a row names the n-th object built before."""

    def __init__(self, rows: list[Any]) -> None:
        self.objects: dict[Digest, bytes] = {}
        self.order: list[bytes] = []
        for row in rows:
            self._add(row)

    def _add(self, row: Any) -> None:
        try:
            data = row if isinstance(row, bytes) else strict_cbor.encode(self._resolved(row))
        except LocalProtocolError:
            return
        self.objects[digest(data)] = data
        self.order.append(data)

    def _resolved(self, node: Any) -> Any:
        match node:
            case ["ref", int(number)] if self.order:
                return digest(self.order[number % len(self.order)])
            case ["size", int(number)] if self.order:
                return len(self.order[number % len(self.order)])
            case list():
                return [self._resolved(item) for item in node]
        return node

    def read(self, name: Digest) -> bytes:
        if name not in self.objects:
            raise NotFoundError("no such object")
        return self.objects[name]


def _tree(data: bytes) -> bool:
    rows = plan(data)
    if not rows:
        return False
    store = _Store(rows)
    for item in store.order:
        _decoded(item)
    return sum(_walked(store, item) for item in store.order[-2:]) > 0


def _decoded(data: bytes) -> None:
    directory = attempt(decode_directory, data)
    must(directory is None or encode_directory(directory) == data, "two spellings of one directory")
    index = attempt(decode_index, data)
    if index is not None:
        rows = [(child.ref, child.content_size, child.object_size) for child in index.children]
        must(encode_index(index.level, rows) == data, "two spellings of one index")
    root = attempt(decode_root, data)
    must(root is None or root.encoded() == data, "two spellings of the root of a conversation")


def _walked(store: _Store, data: bytes) -> bool:
    name = digest(data)
    found = attempt(lambda: list(islice(walk(name, store.read), _MOST)))
    for path, entry in found or ():
        must(len(path) <= MAX_TREE_DEPTH, "a path is deeper than the limit")
        must(not {b"", b".", b".."} & set(path), "a path leaves its tree")
        must(not any(b"/" in item or b"\0" in item for item in path), "a name holds a separator")
        content = entry.content
        if content is not None:
            attempt(_checked_chunks, content, store)
    attempt(lambda: list(islice(diff(digest(store.order[0]), name, store.read), _MOST)))
    return bool(found)


def _checked_chunks(content: Content, store: _Store) -> None:
    end = 0
    for _, offset, length in islice(_chunks_of(content, store.read), _MOST):
        must(offset == end and length > 0, "chunks do not follow each other")
        end = offset + length
        must(end <= content.size, "chunks reach beyond their content")


def _trees() -> list[bytes]:
    file = [b"f", 0, False, 5, digest(b"hello\n"), 6, 0, 6]
    link = [b"l", 2, b"../notes.md"]
    empty: list[Any] = ["dir/1", []]
    leaf = ["dir/1", [file, link]]
    nest = ["dir/1", [[b"sub", 1, ["ref", 1], ["size", 1]], [b"twin", 1, ["ref", 1], ["size", 1]]]]
    index = ["idx/1", 1, [[digest(bytes(16384)), 16384, 16384], [digest(b"hello\n"), 6, 6]]]
    long = ["dir/1", [[b"long", 0, True, 1, ["ref", 0], 16390, 1, ["size", 0]]]]
    deeper = ["idx/1", 2, [[["ref", 0], 16390, ["size", 0]], [["ref", 0], 16390, ["size", 0]]]]
    deep = ["dir/1", [[b"deep", 0, True, 1, ["ref", 1], 32780, 2, ["size", 1]]]]
    twins = [["dir/1", [[name, 1, ["ref", n], ["size", n]] for name in (b"a", b"b")]] for n in range(12)]
    bomb = [empty, *twins]
    talk = ["conversation/1", bytes(16), [digest(b"x"), 10, 2, 0], [[digest(b"u"), 100, 0, 100]]]
    plans: list[list[Any]] = [[empty, leaf, nest], [index, long], [index, deeper, deep], bomb, [talk]]
    golden = [[content("directory")], [content("index")], [content("empty_directory")]]
    return [cbor2.dumps(item) for item in [*plans, *golden]]


TARGETS = (
    Target(
        "manifest",
        "refused, or encoded again to the same bytes; ids unique, bounds kept",
        _manifest,
        Shape.CBOR,
        lambda: [content("manifest")],
    ),
    Target(
        "ownership",
        "one spelling each; no chain verifies but what its devices signed",
        _ownership,
        Shape.CBOR,
        lambda: [*strings(vector("ownership")), *_CHAINS],
        16_384,
    ),
    Target(
        "tree",
        "one spelling of each object; no path leaves its tree, none is too deep; chunks add up",
        _tree,
        Shape.CBOR,
        _trees,
        8_192,
    ),
)
