# SPDX-License-Identifier: Apache-2.0
"""Every message of the control channel, whatever it is for; others import messages from here. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3. A message is a frozen dataclass; ``MESSAGES`` names each on the wire. The
codec reads the annotations, bounds included, so a field added to one is encoded, decoded and checked without further
code.
"""

from __future__ import annotations

from typing import Final

from p2p_handoff.protocol.messages.asking import Asking, ListSessions, SessionList, SessionSummary, Take
from p2p_handoff.protocol.messages.circle import CircleList, CircleNews, Hint
from p2p_handoff.protocol.messages.connection import Credit, Goodbye, Hello, Ping, Pong
from p2p_handoff.protocol.messages.fields import Mode, RejectReason, Within
from p2p_handoff.protocol.messages.handoff import (
    Accept,
    Accepted,
    Cancel,
    Finish,
    Gone,
    Grant,
    Init,
    Query,
    Ready,
    Refused,
    Reject,
    Request,
    Resumed,
    Round,
    Tally,
    Want,
)
from p2p_handoff.protocol.messages.news import AskChain, ChainNews, KnownOwner, News

__all__ = [
    "MESSAGES",
    "Accept",
    "Accepted",
    "AskChain",
    "Asking",
    "Cancel",
    "ChainNews",
    "CircleList",
    "CircleNews",
    "Credit",
    "Finish",
    "Gone",
    "Goodbye",
    "Grant",
    "Hello",
    "Hint",
    "Init",
    "KnownOwner",
    "ListSessions",
    "Message",
    "Mode",
    "News",
    "Ping",
    "Pong",
    "Query",
    "Ready",
    "Refused",
    "Reject",
    "RejectReason",
    "Request",
    "Resumed",
    "Round",
    "SessionList",
    "SessionSummary",
    "Take",
    "Tally",
    "Want",
    "Within",
]

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
    | Tally
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
    "tally": Tally,
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
