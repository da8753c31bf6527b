# SPDX-License-Identifier: Apache-2.0
"""docs/specs/content.md against the code: its schema, its golden bytes, its numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from pycddl import Schema, ValidationError

from p2p_handoff.content import patches, strict_cbor
from p2p_handoff.content.compression import Encoding, unpack
from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import (
    EMPTY,
    Content,
    Entry,
    EntryKind,
    build_content,
    decode_directory,
    decode_index,
    encode_directory,
)
from p2p_handoff.ids import DeviceId, PartId, SessionId
from p2p_handoff.limits import CHUNK_AVG, CHUNK_MAX, CHUNK_MIN, INDEX_FANOUT, MAX_TREE_ENTRIES
from p2p_handoff.session.manifest import Manifest, Part, PartType, Secret, decode_manifest, encode_manifest

ROOT: Final = Path(__file__).parents[2]
SPECIFICATION: Final = (ROOT / "docs/specs/content.md").read_text(encoding="utf-8")
VECTORS: Final = json.loads((ROOT / "tests/vectors/content.json").read_text(encoding="utf-8"))
CDDL: Final = "\n".join(re.findall(r"```cddl\n(.*?)```", SPECIFICATION, re.DOTALL))
NAMES: Final = ["empty_directory", "directory", "index", "manifest", "manifest_with_secrets"]

HELLO = digest(b"hello\n")
ZEROS = digest(bytes(16384))


def golden(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["bytes"])


def schema(rule: str) -> Schema:
    """The specification's schema with this rule as its first, the one that a document is held against."""
    return Schema(f"document = {rule}\n{CDDL}")


@pytest.mark.parametrize("name", NAMES)
def test_golden_bytes_have_the_digest_that_the_specification_quotes(name: str) -> None:
    assert digest(golden(name)).hex() == VECTORS[name]["digest"]
    quoted = f"digest  {VECTORS[name]['digest']}"
    assert quoted in SPECIFICATION or name == "empty_directory"


@pytest.mark.parametrize("limit", [CHUNK_MIN, CHUNK_AVG - CHUNK_MIN, CHUNK_MAX, INDEX_FANOUT, MAX_TREE_ENTRIES])
def test_the_specification_quotes_the_limits_in_force(limit: int) -> None:
    assert f"{limit:,}" in SPECIFICATION


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("empty_directory", "directory"),
        ("directory", "directory"),
        ("index", "index"),
        ("manifest", "manifest"),
        ("manifest_with_secrets", "manifest"),
    ],
)
def test_golden_bytes_fit_the_schema(name: str, rule: str) -> None:
    schema(rule).validate_cbor(golden(name))


def test_the_golden_directory() -> None:
    empty = golden("empty_directory")
    entries = (
        Entry(b"caf\xe9", EntryKind.SYMLINK, target=b"../notes.md"),
        Entry(b"empty", EntryKind.FILE, executable=True, content=EMPTY),
        Entry(b"notes.md", EntryKind.FILE, mtime_ns=1_700_000_000_000_000_000, content=Content(HELLO, 6, 0, 6)),
        Entry(b"src", EntryKind.DIRECTORY, content=Content(digest(empty), len(empty), 0, len(empty))),
    )
    assert encode_directory([]) == empty
    assert encode_directory(entries) == golden("directory")
    assert decode_directory(golden("directory")) == entries


def test_the_golden_index() -> None:
    content, objects = build_content([(ZEROS, 16384), (ZEROS, 16384), (HELLO, 6)])
    assert objects == {content.ref: golden("index")}
    assert [child.ref for child in decode_index(golden("index")).children] == [ZEROS, ZEROS, HELLO]


def test_the_golden_manifest() -> None:
    directory, index = golden("directory"), golden("index")
    manifest = Manifest(
        SessionId("abcdefghijklmnopqrstuvwxyz"),
        "My project",
        (
            Part(PartId("p1"), PartType.FILES, "folder", "project", digest(directory), len(directory), 6, 3),
            Part(
                PartId("p2"), PartType.MESSAGES, "conversation", "chat.jsonl", digest(index), len(index), 32774, 2,
                DeviceId("a2" * 16),
            ),
        ),
    )  # fmt: skip
    assert encode_manifest(manifest) == golden("manifest")
    assert decode_manifest(golden("manifest")) == manifest


def test_the_golden_manifest_with_secrets() -> None:
    plain = decode_manifest(golden("manifest"))
    secrets = (Secret(b".env", "env-secret", DeviceId("a2" * 16)), Secret(b"src/id_rsa", "private-key"))
    manifest = replace(plain, parts=(replace(plain.parts[0], secrets=secrets),))
    assert encode_manifest(manifest) == golden("manifest_with_secrets")
    assert decode_manifest(golden("manifest_with_secrets")) == manifest
    assert manifest.parts[0].left_out == {b".env"}


def test_the_golden_patch() -> None:
    patch = {name: bytes.fromhex(data) for name, data in VECTORS["patch"].items()}
    base = patches.sketched(patch["base"])
    assert base is not None
    assert base.sketch == patch["sketch"]
    assert patches.apply(patch["payload"], base, len(patch["result"])) == patch["result"]
    assert unpack(Encoding.ZSTD, patch["payload"], 100) == patch["steps"]
    schema("patch").validate_cbor(patch["steps"])


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("patch", [[0]]),
        ("patch", [[-1, 1]]),
        ("patch", ["text"]),
        ("directory", ["dir/1", [[b"a", 3, b"t"]]]),
        ("directory", ["dir/1", [[b"", 2, b"t"]]]),
        ("directory", ["dir/2", []]),
        ("index", ["idx/1", 0, [[HELLO, 6, 6]]]),
        ("index", ["idx/1", 1, []]),
        ("index", ["idx/1", 1, [[b"short", 6, 6]]]),
        ("manifest", ["manifest/1", "short", "t", []]),
        ("manifest", ["manifest/1", "a" * 26, "t", [["p1", "files", "folder", "n", HELLO, 1, 1, 1, None, []]]]),
    ],
)
def test_the_schema_refuses_what_the_code_refuses(rule: str, value: object) -> None:
    with pytest.raises(ValidationError):
        schema(rule).validate_cbor(strict_cbor.encode(value))
