# SPDX-License-Identifier: Apache-2.0
"""Statements as strict CBOR arrays that open with kind and version. Layer: session.

Specification: docs/specs/ownership.md §5.

Every field is checked on the way in: identifiers, lengths, bounds. One value has one encoding, so that a
decoded statement encodes to exactly the bytes that it came from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from p2p_handoff import ids, limits
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import DIGEST_BYTES, Digest
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.session.statements import (
    FIRST_EPOCH,
    KEY_BYTES,
    MAX_EPOCH,
    MAX_STATEMENT,
    NONCE_BYTES,
    VERSION,
    Accepted,
    Genesis,
    Grant,
    Parent,
    RefusalReason,
    Refused,
    Statement,
    StatementKind,
)

_PART_ID: Final = re.compile(r"p[1-9][0-9]{0,5}")


def encode_statement(statement: Statement) -> bytes:
    """The bytes that are signed."""
    kind, fields = _write(statement)
    return strict_cbor.encode([int(kind), VERSION, *fields])


def decode_statement(body: bytes) -> Statement:
    """Read a statement's bytes.

    Raises:
        RemoteProtocolError: They are not a statement of this version.
    """
    value = strict_cbor.decode(body, limit=MAX_STATEMENT)
    if not isinstance(value, list) or len(value) < 2:
        raise RemoteProtocolError("a statement is not an array of kind, version and fields")
    kind, version, *fields = value
    if version != VERSION or isinstance(version, bool):
        raise RemoteProtocolError(f"statement version {version!r} is not known")
    reader = _READERS.get(kind) if isinstance(kind, int) and not isinstance(kind, bool) else None
    if reader is None:
        raise RemoteProtocolError(f"statement kind {kind!r} is not known")
    return reader(fields)


def _write(statement: Statement) -> tuple[StatementKind, list[object]]:
    match statement:
        case Genesis(session, primary, key, root, parent):
            origin = None if parent is None else [parent.session, parent.epoch, parent.root]
            return StatementKind.GENESIS, [session, primary, key, root, origin]
        case Grant():
            return StatementKind.GRANT, _write_grant(statement)
        case Accepted(session, txn, target, epoch, grant):
            return StatementKind.ACCEPTED, [session, txn, target, epoch, grant]
        case Refused(session, txn, source, target, reason):
            return StatementKind.REFUSED, [session, txn, source, target, int(reason)]


def _write_grant(grant: Grant) -> list[object]:
    who: list[object] = [grant.session, grant.txn, grant.source, grant.target, grant.target_key]
    return [*who, grant.epoch, grant.root, list(grant.parts), grant.nonce, grant.previous]


def _read_genesis(fields: list[object]) -> Genesis:
    session, primary, key, root, parent = _array(fields, 5)
    origin = None if parent is None else _read_parent(parent)
    return Genesis(_session(session), _device(primary), _exactly(key, KEY_BYTES), _digest(root), origin)


def _read_parent(value: object) -> Parent:
    session, epoch, root = _array(value, 3)
    return Parent(_session(session), _epoch(epoch), _digest(root))


def _read_grant(fields: list[object]) -> Grant:
    session, txn, source, target, key, epoch, root, parts, nonce, previous = _array(fields, 10)
    return Grant(
        _session(session),
        _txn(txn),
        _device(source),
        _device(target),
        _exactly(key, KEY_BYTES),
        _epoch(epoch),
        _digest(root),
        _parts(parts),
        _exactly(nonce, NONCE_BYTES),
        _digest(previous),
    )


def _read_accepted(fields: list[object]) -> Accepted:
    session, txn, target, epoch, grant = _array(fields, 5)
    return Accepted(_session(session), _txn(txn), _device(target), _epoch(epoch), _digest(grant))


def _read_refused(fields: list[object]) -> Refused:
    session, txn, source, target, reason = _array(fields, 5)
    if not isinstance(reason, int) or isinstance(reason, bool) or reason not in set(RefusalReason):
        raise RemoteProtocolError(f"refusal reason {reason!r} is not known")
    return Refused(_session(session), _txn(txn), _device(source), _device(target), RefusalReason(reason))


_READERS: Final[Mapping[int, Callable[[list[object]], Statement]]] = {
    StatementKind.GENESIS: _read_genesis,
    StatementKind.GRANT: _read_grant,
    StatementKind.ACCEPTED: _read_accepted,
    StatementKind.REFUSED: _read_refused,
}


def _array(value: object, length: int) -> list[object]:
    if not isinstance(value, list) or len(value) != length:
        raise RemoteProtocolError(f"expected an array of {length}")
    return value


def _exactly(value: object, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise RemoteProtocolError(f"expected {length} bytes")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RemoteProtocolError("expected a text string")
    return value


def _session(value: object) -> SessionId:
    return SessionId(ids.parse_id(_text(value), ids.LONG_ID_LENGTH))


def _txn(value: object) -> TxnId:
    return TxnId(ids.parse_id(_text(value), ids.LONG_ID_LENGTH))


def _device(value: object) -> DeviceId:
    return DeviceId(ids.parse_id(_text(value), ids.DEVICE_ID_LENGTH))


def _digest(value: object) -> Digest:
    return Digest(_exactly(value, DIGEST_BYTES))


def _epoch(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not FIRST_EPOCH <= value <= MAX_EPOCH:
        raise RemoteProtocolError(f"{value!r} is not an epoch")
    return value


def _parts(value: object) -> tuple[PartId, ...]:
    if not isinstance(value, list) or len(value) > limits.MAX_PARTS:
        raise RemoteProtocolError("the parts of a grant are not a list, or too many")
    parts = tuple(_part(item) for item in value)
    if len(set(parts)) != len(parts):
        raise RemoteProtocolError("a grant names a part twice")
    return parts


def _part(value: object) -> PartId:
    if not _PART_ID.fullmatch(text := _text(value)):
        raise RemoteProtocolError(f"{text[:40]!r} is not a part id")
    return PartId(text)
