# SPDX-License-Identifier: Apache-2.0
"""The manifest: what a session consists of at one moment. Layer: session, pure.

Specification: docs/specs/content.md §5. A manifest names each part's root digest. Its own digest is the
session's root, the one value that a grant signs. A part that the primary does not hold is listed with the device that
holds it, and so is a file that was left out of a part for the secret in it: absence is never deletion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import DIGEST_BYTES, Digest, digest
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import DEVICE_ID_LENGTH, LONG_ID_LENGTH, DeviceId, PartId, SessionId, parse_id
from p2p_handoff.limits import (
    MAX_CBOR_ITEMS,
    MAX_CONTROL_MESSAGE,
    MAX_KIND,
    MAX_NAME_BYTES,
    MAX_PARTS,
    MAX_SECRET_PATH,
    MAX_SECRETS,
    MAX_TITLE,
)


class PartType(Enum):
    """The types that users choose parts by."""

    MESSAGES = "messages"
    DOCUMENTS = "documents"
    CONTEXT = "context"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Secret:
    """Something of a part that looks like a credential: which kind, never which one."""

    path: bytes
    """Within the part, components joined by ``/``; empty for the whole part."""
    kind: str
    """Such as ``private-key``: the id of a rule (docs/specs/secrets.md)."""
    held_by: DeviceId | None = None
    """The device that kept it back, and has it still; None for one that is in the part."""


@dataclass(frozen=True, slots=True)
class Part:
    """One typed piece of a session."""

    id: PartId
    """Unique within its session, stable for its lifetime: ``p1``, ``p2``, …"""
    type: PartType
    kind: str
    """The adapter that understands it: ``folder``, ``conversation``."""
    name: str
    """Base name it has where it was started, for people and as the default name on arrival."""
    root: Digest
    root_size: int
    """Bytes of the root object."""
    total_bytes: int
    """Bytes of its content, uncompressed."""
    items: int
    """Files or messages."""
    held_by: DeviceId | None = None
    """The device that holds this part when the primary does not; None for a part the primary holds."""
    secrets: tuple[Secret, ...] = ()
    """What was found in it, sorted by path and kind, each once: sent along, or left out of ``root``."""

    @property
    def left_out(self) -> frozenset[bytes]:
        """Paths that are not in ``root`` since a device kept them back. Nothing may be concluded from their absence."""
        return frozenset(secret.path for secret in self.secrets if secret.held_by is not None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All parts of a session at one moment, in the order they were started."""

    session: SessionId
    title: str
    parts: tuple[Part, ...]


_LABEL: Final = "manifest/1"
_PART_ID: Final = re.compile(r"p[1-9][0-9]{0,5}")
_RULE: Final = re.compile(r"[a-z0-9-]{1,64}")
_KIND: Final = re.compile(rf"[a-z0-9-]{{1,{MAX_KIND}}}")
_PART_ROW: Final = (str, str, str, str, bytes, int, int, int)


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of a manifest: what a grant's root is the digest of.

    Raises:
        LocalProtocolError: It breaks a rule that ``decode_manifest`` enforces.
    """
    rows = [_part_fields(part) for part in manifest.parts]
    data = strict_cbor.encode([_LABEL, manifest.session, manifest.title, rows])
    try:
        decode_manifest(data)
    except RemoteProtocolError as error:
        raise LocalProtocolError(error.what) from error
    return data


def decode_manifest(data: bytes) -> Manifest:
    """A manifest that a peer sent.

    Raises:
        RemoteProtocolError: Malformed, or beyond a bound.
    """
    match strict_cbor.decode(data, limit=MAX_CONTROL_MESSAGE, items=MAX_CBOR_ITEMS):
        case [str(label), str(session), str(title), list(rows)] if label == _LABEL:
            parts = _parts(rows)
        case _:
            raise RemoteProtocolError("received bytes are not a manifest")
    if len(title) > MAX_TITLE:
        raise RemoteProtocolError(f"a title has more than {MAX_TITLE} characters")
    return Manifest(SessionId(parse_id(session, LONG_ID_LENGTH)), title, parts)


def root_of(manifest: Manifest) -> Digest:
    """The session's root: the digest of its manifest.

    Raises:
        LocalProtocolError: As in ``encode_manifest``.
    """
    return digest(encode_manifest(manifest))


def _part_fields(part: Part) -> list[object]:
    sizes = [part.root_size, part.total_bytes, part.items]
    row: list[object] = [part.id, part.type.value, part.kind, part.name, part.root, *sizes, part.held_by]
    secrets = [[secret.path, secret.kind, secret.held_by] for secret in part.secrets]
    return [*row, secrets] if secrets else row


def _parts(rows: list[Any]) -> tuple[Part, ...]:
    if len(rows) > MAX_PARTS:
        raise RemoteProtocolError(f"a manifest has {len(rows)} parts where at most {MAX_PARTS} are allowed")
    parts = tuple(_part(row) for row in rows)
    if len({part.id for part in parts}) != len(parts):
        raise RemoteProtocolError("two parts of a manifest have the same id")
    return parts


def _part(row: Any) -> Part:
    if type(row) is not list or len(row) not in {len(_PART_ROW) + 1, len(_PART_ROW) + 2}:
        raise RemoteProtocolError("a part of a manifest is malformed")
    fields, (held_by, *more) = row[: len(_PART_ROW)], row[len(_PART_ROW) :]
    if tuple(map(type, fields)) != _PART_ROW:
        raise RemoteProtocolError("a part of a manifest is malformed")
    part_id, part_type, kind, name, root, root_size, total_bytes, items = fields
    _check_part(part_id, kind, name, root, [root_size, total_bytes, items])
    sizes = (root_size, total_bytes, items)
    secrets = _secrets(more[0]) if more else ()
    return Part(PartId(part_id), _part_type(part_type), kind, name, Digest(root), *sizes, _holder(held_by), secrets)


def _holder(value: Any) -> DeviceId | None:
    if type(value) not in {str, type(None)}:
        raise RemoteProtocolError("a part of a manifest is malformed")
    return None if value is None else DeviceId(parse_id(value, DEVICE_ID_LENGTH))


def _secrets(rows: Any) -> tuple[Secret, ...]:
    if type(rows) is not list or not 0 < len(rows) <= MAX_SECRETS:
        raise RemoteProtocolError(f"a part of a manifest lists no or more than {MAX_SECRETS} secrets")
    secrets = tuple(_secret(row) for row in rows)
    order = [(secret.path, secret.kind) for secret in secrets]
    if order != sorted(set(order)):
        raise RemoteProtocolError("the secrets of a part are not in order, or one is listed twice")
    return secrets


def _secret(row: Any) -> Secret:
    match row:
        case [bytes(path), str(kind), held_by] if len(path) <= MAX_SECRET_PATH and _RULE.fullmatch(kind):
            return Secret(path, kind, _holder(held_by))
        case _:
            raise RemoteProtocolError("a secret in a manifest is malformed")


def _check_part(part_id: str, kind: str, name: str, root: bytes, sizes: list[int]) -> None:
    if not _PART_ID.fullmatch(part_id):
        raise RemoteProtocolError(f"{part_id[:20]!r} is not a part's id")
    if not _KIND.fullmatch(kind):
        raise RemoteProtocolError(f"{kind[:40]!r} is not a kind of part")
    if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
        raise RemoteProtocolError(f"a part's name has no or more than {MAX_NAME_BYTES} bytes")
    if len(root) != DIGEST_BYTES or min(sizes) < 0:
        raise RemoteProtocolError(f"the root or a size of part {part_id} is malformed")


def _part_type(text: str) -> PartType:
    try:
        return PartType(text)
    except ValueError:
        raise RemoteProtocolError(f"{text[:40]!r} is not a type of part") from None
