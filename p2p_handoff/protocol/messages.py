# SPDX-License-Identifier: Apache-2.0
"""Every message of the control channel. Layer: protocol, pure. Specification: docs/specs/handoff-v2.md §3.

A message is a frozen dataclass; ``MESSAGES`` names each on the wire. The codec reads the annotations, bounds
included, so a field added here is encoded, decoded and checked without further code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final

from p2p_handoff.content.digests import DIGEST_BYTES
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.limits import MAX_CIRCLE_BATCH, MAX_CIRCLE_STATEMENTS, MAX_OWNERS, MAX_PARTS, MAX_TITLE
from p2p_handoff.security.circle_statements import MAX_CIRCLE_STATEMENT
from p2p_handoff.security.versions import MAX_VERSIONS
from p2p_handoff.session.statements import MAX_STATEMENT, NONCE_BYTES, SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Within:
    """Bounds of a field: characters of a text, bytes, elements of a list, or the value of a number."""

    least: int
    most: int


Title = Annotated[str, Within(0, MAX_TITLE)]
Word = Annotated[str, Within(1, 64)]
"""A name that programs compare."""
Sentence = Annotated[str, Within(0, 500)]
"""Words for a person."""
Nonce = Annotated[bytes, Within(NONCE_BYTES, NONCE_BYTES)]
ObjectDigest = Annotated[bytes, Within(DIGEST_BYTES, DIGEST_BYTES)]
ObjectDigests = Annotated[tuple[ObjectDigest, ...], Within(1, 8192)]
Parts = Annotated[tuple[PartId, ...], Within(1, MAX_PARTS)]
Statement = Annotated[bytes, Within(1, MAX_STATEMENT + SIGNATURE_BYTES + 16)]
"""A signed statement (docs/specs/ownership.md §5): its body, its signature, and CBOR around them."""
CircleStatement = Annotated[bytes, Within(1, MAX_CIRCLE_STATEMENT)]
"""A signed statement about an own device (docs/specs/circle.md §2)."""
RoundNumber = Annotated[int, Within(1, 1 << 31)]
Seconds = Annotated[int, Within(0, 24 * 3600)]


class Mode(Enum):
    """What a handoff does with ownership."""

    MOVE = "move"
    """The target becomes the primary."""
    COPY = "copy"
    """The target gets a copy; no ownership moves (``handoff send``)."""
    MERGE = "merge"
    """The target, primary of the original, takes in a fork; no ownership moves."""


class RejectReason(Enum):
    """Why a target, or a source asked by a take, says no."""

    DECLINED = "declined"
    """A person said no."""
    EXPIRED = "expired"
    """Nobody answered in time."""
    DISABLED = "disabled"
    """Handoff is switched off in the settings."""
    UNTRUSTED = "untrusted"
    """The device is not linked."""
    POLICY = "policy"
    """The settings there refuse it."""
    BUSY = "busy"
    """Another handoff of this session is under way."""
    NOT_PRIMARY = "not-primary"
    """The device asked does not own the session."""
    UNKNOWN_SESSION = "unknown-session"
    STALE = "stale"
    """This device knows a later epoch of the session."""
    NO_SPACE = "no-space"
    UNSUPPORTED = "unsupported"
    """No adapter for a part, or a name that this device cannot represent."""
    NOTHING_CHOSEN = "nothing-chosen"
    """No part of the chosen types."""
    FAILED = "failed"
    """An error on the other side; the text says which."""
    CANCELLED = "cancelled"


# --- the connection ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """First message each way after the proof."""

    versions: Annotated[tuple[int, ...], Within(0, MAX_VERSIONS)]
    """Protocol versions this side speaks."""
    name: Title
    """Display name, for people only."""
    software: Title
    """Program and version, for people only."""
    capabilities: Annotated[tuple[Word, ...], Within(0, 64)]
    """Optional things the sender can do; none is defined yet."""
    counter: int
    """The sender's store counter: a lower one than seen before means a rolled-back home."""
    seen: int
    """The highest store counter that the sender ever saw of the receiver, 0 for none."""
    instance: Nonce = bytes(NONCE_BYTES)
    """Drawn at each start of the sender: another one means that all it was connected by before is gone."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Sent every PING_INTERVAL."""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to a ping."""

    number: int


@dataclass(frozen=True, slots=True)
class Credit:
    """How many bulk bytes the receiver of content takes in all, counted from the start of the connection."""

    total: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sender closes the connection on purpose."""

    reason: Sentence


# --- HandoffV2 --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Init:
    """Opens a handoff: who hands what to whom."""

    txn: TxnId
    session: SessionId
    source: DeviceId
    target: DeviceId
    mode: Mode
    epoch: int
    """The source's epoch; the target's will be one higher."""
    chain: bytes
    """The session's ownership chain, encoded; for a merge the fork's; empty for a copy."""
    take: bool
    """True when this answers the target's own Take: no consent is asked."""
    parent: bytes = b""
    """For a merge: the manifest that the fork left, if the source can still show what it names; else empty."""


@dataclass(frozen=True, slots=True)
class Request:
    """The offer, to be reviewed: parts with sizes are in the manifest."""

    txn: TxnId
    manifest: bytes
    parts: Parts
    """The parts offered; the others stay where they are."""
    expires_in: Seconds
    """Seconds until the source gives up waiting."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The target takes these parts."""

    txn: TxnId
    parts: Parts


@dataclass(frozen=True, slots=True)
class Reject:
    """The target, or a source asked by a take, says no. Ends the handoff; only before a grant."""

    txn: TxnId
    reason: RejectReason
    text: Sentence


@dataclass(frozen=True, slots=True)
class Round:
    """A picture of the session to copy while the source keeps working."""

    txn: TxnId
    number: RoundNumber
    """1, 2, …"""
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Want:
    """Objects the target lacks; the source sends each on the bulk channel."""

    txn: TxnId
    part: PartId
    digests: ObjectDigests
    remaining: int
    """Uncompressed bytes the target still lacks as far as it knows, these included: for the source's progress."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Objects that vanished or changed at the source: the next round no longer needs them."""

    txn: TxnId
    part: PartId
    digests: ObjectDigests


@dataclass(frozen=True, slots=True)
class Ready:
    """The target holds everything of a round and can take a grant."""

    txn: TxnId
    number: RoundNumber
    complete: bool
    """False when objects were gone: another round is needed."""
    nonce: Nonce
    """Lives in the target's memory only: a grant must quote it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The source is frozen and grants ownership; ``manifest`` is the final picture."""

    txn: TxnId
    session: SessionId
    statement: Statement
    manifest: bytes
    counter: int
    """The sender's store counter, as in Hello: the source has frozen since it said that."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The target is the primary: durable at the target before this is sent."""

    txn: TxnId
    statement: Statement
    counter: int
    """The sender's store counter, its acceptance counted."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The target will never accept this txn: durable at the target before this is sent."""

    txn: TxnId
    statement: Statement
    counter: int
    """The sender's store counter, its refusal counted."""


@dataclass(frozen=True, slots=True)
class Query:
    """A frozen source asks for the target's decision; only the txn's source may."""

    txn: TxnId
    session: SessionId
    statement: Statement
    """The source's grant: nobody else gets an answer, and nothing is decided for anybody else."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Either side gives up, before a grant."""

    txn: TxnId
    reason: RejectReason
    text: Sentence


@dataclass(frozen=True, slots=True)
class Finish:
    """Copy mode: the last picture; put in place what was copied."""

    txn: TxnId
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Resumed:
    """The session is in place and usable on the target."""

    txn: TxnId
    root: ObjectDigest
    """Root of the manifest that was put in place."""
    received_bytes: int
    """Bulk bytes that arrived for this txn."""
    detail: Sentence
    """What ran on resume, or why nothing did."""


# --- take and listing -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Take:
    """Ask the primary to hand a session over to the sender."""

    txn: TxnId
    """The txn the source must use."""
    session: SessionId
    types: Annotated[tuple[Word, ...], Within(0, MAX_PARTS)]
    """Part types wanted; empty means all."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Answer to a Take where a person is asked first; Init or Reject follows."""

    txn: TxnId
    expires_in: Seconds
    """Seconds until the person's time is over."""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of a session list."""

    session: SessionId
    title: Title
    role: Word
    epoch: int
    primary: DeviceId


@dataclass(frozen=True, slots=True)
class ListSessions:
    """Ask which sessions the peer would let this device take or follow."""

    number: int


@dataclass(frozen=True, slots=True)
class SessionList:
    """Answer to ``ListSessions`` with the same number."""

    number: int
    sessions: tuple[SessionSummary, ...]


# --- ownership news ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KnownOwner:
    """How far the sender knows one session's ownership."""

    session: SessionId
    epoch: int
    primary: DeviceId
    """The owner of that epoch."""
    head: ObjectDigest
    """Link digest of the chain's last statement."""


@dataclass(frozen=True, slots=True)
class News:
    """What the sender knows of sessions that concern the receiver: all of it once, after the Hello; then changes."""

    counter: int
    """The sender's store counter now."""
    owners: Annotated[tuple[KnownOwner, ...], Within(0, MAX_OWNERS)]
    more: bool
    """True when the list goes on in another message."""


@dataclass(frozen=True, slots=True)
class AskChain:
    """The receiver's chain of a session is wanted; one is asked for at a time."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class ChainNews:
    """Answer to ``AskChain``."""

    session: SessionId
    title: Title
    """For people, and only where the session is unknown to the receiver."""
    chain: bytes
    """The ownership chain, encoded; empty when there is none for the receiver."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Where an own device was reached lately; who answers there is decided by keys."""

    device: DeviceId
    url: Annotated[str, Within(1, 256)]
    """Of a relay, as in ``p2p_handoff.rendezvous``."""


@dataclass(frozen=True, slots=True)
class CircleList:
    """The statements about own devices that the sender holds, between own devices only: once, after the Hello."""

    digests: Annotated[tuple[ObjectDigest, ...], Within(0, MAX_CIRCLE_STATEMENTS)]


@dataclass(frozen=True, slots=True)
class CircleNews:
    """Statements about own devices that the receiver has not, in an order in which each can be checked."""

    statements: Annotated[tuple[CircleStatement, ...], Within(0, MAX_CIRCLE_BATCH)]
    hints: Annotated[tuple[Hint, ...], Within(0, MAX_CIRCLE_BATCH)]


Message = (
    Hello
    | Ping
    | Pong
    | Credit
    | Goodbye
    | Init
    | Request
    | Accept
    | Reject
    | Round
    | Want
    | Gone
    | Ready
    | Grant
    | Accepted
    | Refused
    | Query
    | Cancel
    | Finish
    | Resumed
    | Take
    | Asking
    | ListSessions
    | SessionList
    | News
    | AskChain
    | ChainNews
    | CircleList
    | CircleNews
)

MESSAGES: Final[dict[str, type[Message]]] = {
    "hello": Hello,
    "ping": Ping,
    "pong": Pong,
    "credit": Credit,
    "goodbye": Goodbye,
    "init": Init,
    "request": Request,
    "accept": Accept,
    "reject": Reject,
    "round": Round,
    "want": Want,
    "gone": Gone,
    "ready": Ready,
    "grant": Grant,
    "accepted": Accepted,
    "refused": Refused,
    "query": Query,
    "cancel": Cancel,
    "finish": Finish,
    "resumed": Resumed,
    "take": Take,
    "asking": Asking,
    "list-sessions": ListSessions,
    "session-list": SessionList,
    "news": News,
    "ask-chain": AskChain,
    "chain-news": ChainNews,
    "circle-list": CircleList,
    "circle-news": CircleNews,
}
"""Wire name of every message (docs/specs/handoff-v2.md §3)."""
