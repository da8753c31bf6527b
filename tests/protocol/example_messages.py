# SPDX-License-Identifier: Apache-2.0
"""One instance of every message: what the golden vectors and the schema are checked with."""

from __future__ import annotations

from p2p_handoff.content.digests import digest
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol import messages as msg

TXN, SESSION = TxnId("txn" + "a" * 23), SessionId("session" + "b" * 19)
SOURCE, TARGET = DeviceId("source" + "c" * 26), DeviceId("target" + "d" * 26)
PART = PartId("p1")
ROOT, NONCE = digest(b"root"), bytes(range(16))

EXAMPLES: dict[str, msg.Message] = {
    "hello": msg.Hello((2,), "laptop", "p2p-handoff 0.1.0", (), 7, 0, bytes(range(16))),
    "ping": msg.Ping(1),
    "pong": msg.Pong(1),
    "credit": msg.Credit(10_485_760),
    "goodbye": msg.Goodbye("stopped"),
    "init": msg.Init(TXN, SESSION, SOURCE, TARGET, msg.Mode.MOVE, 3, b"chain", take=False),
    "request": msg.Request(TXN, b"manifest", (PART, PartId("p2")), 600),
    "accept": msg.Accept(TXN, (PART,)),
    "reject": msg.Reject(TXN, msg.RejectReason.NO_SPACE, "the disk is full"),
    "round": msg.Round(TXN, 1, b"manifest"),
    "want": msg.Want(TXN, PART, (ROOT,), 65_536, (b"\0" + digest(b"block")[:6],)),
    "gone": msg.Gone(TXN, PART, (ROOT,)),
    "tally": msg.Tally(TXN, disk=120, cpu=30, network=0, reused_chunks=7, reused_bytes=458_752),
    "ready": msg.Ready(TXN, 1, complete=True, nonce=NONCE),
    "grant": msg.Grant(TXN, SESSION, b"statement", b"manifest", 8),
    "accepted": msg.Accepted(TXN, b"statement", 9),
    "refused": msg.Refused(TXN, b"statement", 9),
    "query": msg.Query(TXN, SESSION, b"statement"),
    "cancel": msg.Cancel(TXN, msg.RejectReason.CANCELLED, ""),
    "finish": msg.Finish(TXN, b"manifest"),
    "resumed": msg.Resumed(TXN, ROOT, 12_345, "opened in the editor", 40),
    "take": msg.Take(TXN, SESSION, ("messages",)),
    "asking": msg.Asking(TXN, 300),
    "list-sessions": msg.ListSessions(1),
    "session-list": msg.SessionList(1, (msg.SessionSummary(SESSION, "essay", "primary", 3, SOURCE),)),
    "news": msg.News(9, (msg.KnownOwner(SESSION, 4, TARGET, ROOT),), more=False),
    "ask-chain": msg.AskChain(SESSION),
    "chain-news": msg.ChainNews(SESSION, "essay", b"chain"),
    "circle-list": msg.CircleList((ROOT,)),
    "circle-news": msg.CircleNews((b"statement",), (msg.Hint(TARGET, "ws://192.0.2.7:4711/v1"),)),
}
