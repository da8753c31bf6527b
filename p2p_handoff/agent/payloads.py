# SPDX-License-Identifier: Apache-2.0
"""What the Python faces hand to their callers. Layer: agent. Specification: docs/python.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from p2p_handoff.agent.report import Report
from p2p_handoff.errors import ContentGoneError, StorageError, UsageError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.session.manifest import PartType
from p2p_handoff.store.records import PartBinding


@dataclass(frozen=True, slots=True)
class ReceivedPart:
    """One part of a session that arrived on this device."""

    id: PartId
    type: PartType
    kind: str
    """``folder`` or ``conversation``."""
    name: str
    path: Path
    """Where it is on this device."""

    def read_lines(self) -> list[bytes]:
        """The messages, each with the exact bytes of its line and its terminator. Blocks on the disk.

        Raises:
            UsageError: The part does not consist of messages.
            ContentGoneError: It is not at its path any more.
            StorageError: It cannot be read.
        """
        if self.type is not PartType.MESSAGES:
            raise UsageError(f"{self.name!r} is a part of type {self.type.value}: it has no messages")
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            raise ContentGoneError(f"{self.path} is gone") from None
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error.strerror}") from error
        *whole, tail = data.split(b"\n")
        return [line + b"\n" for line in whole] + ([tail] if tail else [])


@dataclass(frozen=True, slots=True)
class ReceivedData:
    """A handoff that arrived completely."""

    txn: TxnId
    session: SessionId
    title: str
    source: DeviceId
    """The device that it came from."""
    peer: str
    """Its display name."""
    epoch: int
    """The session's epoch, with this device as its primary."""
    parts: tuple[ReceivedPart, ...]
    """What this device holds of the session; what it did not take stays at the source."""
    conflicts: tuple[Path, ...] = ()
    """Copies that were kept because this device had changed the same thing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the transfer of one handoff is."""

    txn: TxnId
    session: SessionId
    phase: str
    """The state of this side's machine, such as ``copying``."""
    round: int
    bytes: int
    """Uncompressed bytes moved so far."""
    remaining: int
    """Uncompressed bytes still missing, as far as known."""
    reused_chunks: int
    """Pieces of what changed that the target had already; the source hears of it after each round."""
    reused_bytes: int
    rate: float
    """Uncompressed bytes per second over the last few seconds."""
    left: float | None
    """Seconds that what remains takes at that rate; None while nothing moves."""


@dataclass(frozen=True, slots=True)
class HandoffEnded:
    """How a handoff ended."""

    outcome: str
    """``done``, ``rejected``, ``cancelled``, ``failed`` or ``in-doubt``."""
    txn: TxnId
    session: SessionId
    peer: str
    """Display name of the other device; empty where none was reached."""
    reason: str
    """Machine-readable; empty when it is done."""
    text: str
    """For people."""


@dataclass(frozen=True, slots=True)
class PrimaryChanged:
    """A session has another primary than before."""

    session: SessionId
    primary: DeviceId
    epoch: int


def received_parts(bindings: Iterable[PartBinding]) -> tuple[ReceivedPart, ...]:
    """The parts of a session that are on this device."""
    return tuple(
        ReceivedPart(binding.part, binding.type, binding.kind, binding.name, binding.path)
        for binding in bindings
        if binding.path is not None and binding.held_by is None
    )


def progress(fields: Mapping[str, Any]) -> Progress:
    """The payload of an agent's ``progress`` event."""
    return Progress(**{item.name: fields[item.name] for item in dataclass_fields(Progress)})


def ended(fields: Mapping[str, Any]) -> HandoffEnded:
    """The payload of an agent's ``handoff`` or ``handoff-failed`` event."""
    return HandoffEnded(
        outcome=fields.get("outcome", "failed"),
        txn=fields["txn"],
        session=fields["session"],
        peer=fields.get("peer", ""),
        reason=fields.get("reason", ""),
        text=fields.get("text", ""),
    )


def raise_unless_done(report: Report) -> Report:
    """A report of a handoff that is done.

    Raises:
        HandoffError: It is not; the error that the outcome stands for.
    """
    if report.error is not None:
        raise report.error
    return report
